"""A training step of the U-Net against PyTorch: python -m benchmarks.train_step

Ours draws where to cut, cuts, turns and normalises its crops within the step; the peer finds them ready.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.machine import this_machine
from benchmarks.record import RESULTS, Case, record
from benchmarks.turns import Contender, race


@dataclass(frozen=True)
class Flags:
    """Options.

    Attributes:
        depth, width: of the ResNet. side: of a crop, pixels.
        batches: crops a step; 4, 8, 16, 32, 64 on GPUs and 4 on CPUs where none is given.
        steps: in one turn; 20 on GPUs, 1 on CPUs where 0.
        one_core: of a CPU, in processor time: what a shared machine still measures well.
        turns: of each contender. out: folder of results. remark: kept with the results.
    """

    depth: int = 50
    width: float = 1.0
    side: int = 256
    batches: tuple[int, ...] = ()
    steps: int = 0
    one_core: bool = False
    turns: int = 7
    out: Path = RESULTS
    remark: str = ""


def contenders(setting: dict[str, Any], one_core: bool) -> list[Contender]:
    """bfloat16 on GPUs; on CPUs float32, and bfloat16 for the peer, which gains by it there."""
    here = this_machine()
    ours = "bfloat16" if here.gpu else "float32"
    theirs = [] if not here.peer else ["bfloat16"] if here.gpu else ["float32", "bfloat16"]
    return [
        Contender(f"jaxseg {ours}", "benchmarks.ours:train_step", setting | {"dtype": ours}, one_core),
        *(Contender(f"PyTorch {d}", "benchmarks.pytorch:train_step", setting | {"dtype": d}, one_core) for d in theirs),
    ]


def measure(flags: Flags) -> Path:
    gpu = this_machine().gpu
    steps = flags.steps or (20 if gpu else 1)
    cases = []
    for batch in flags.batches or ((4, 8, 16, 32, 64) if gpu else (4,)):
        setting = {"depth": flags.depth, "width": flags.width, "side": flags.side, "batch": batch}
        setting |= {"steps": steps, "warm": 5 if gpu else 2}
        seconds = race(contenders(setting, flags.one_core), flags.turns)
        cases.append(
            Case(f"batch {batch}{', processor time of one core' * flags.one_core}", batch * steps, "images", seconds)
        )
    setting = asdict(flags) | {"out": None, "steps": steps}
    return record("train_step_one_core" if flags.one_core else "train_step", setting, cases, flags.out, flags.remark)


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
