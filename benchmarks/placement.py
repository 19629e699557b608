"""How many runs to train at once on one device: python -m benchmarks.placement

Processes that train the same net side by side: on a GPU they share it, on CPUs each has its part of the cores. There is
no peer; the first line is what a single run reaches with everything for itself.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.machine import this_machine
from benchmarks.record import RESULTS, Case, record
from benchmarks.turns import Contender, race_of_teams


@dataclass(frozen=True)
class Flags:
    """Options.

    Attributes:
        depth, width: of the ResNet. side: of a crop, pixels. batch: crops a step of each run.
        runs: at once; 1, 2 and 3 on a GPU, 1 and one a core on CPUs where none is given.
        steps: in one turn; 20 on GPUs, 1 on CPUs where 0.
        turns: of each placement. out: folder of results. remark: kept with the results.
    """

    depth: int = 50
    width: float = 1.0
    side: int = 256
    batch: int = 16
    runs: tuple[int, ...] = ()
    steps: int = 0
    turns: int = 5
    out: Path = RESULTS
    remark: str = ""


def team(runs: int, flags: Flags) -> list[Contender]:
    """The processes of one placement, the cores of a CPU in equal parts."""
    gpu = this_machine().gpu
    setting: dict[str, Any] = {"depth": flags.depth, "width": flags.width, "side": flags.side, "batch": flags.batch}
    setting |= {
        "dtype": "bfloat16" if gpu else "float32",
        "warm": 20 if gpu else 1,
        "steps": flags.steps or (20 if gpu else 1),
    }
    cores = sorted(os.sched_getaffinity(0))
    shares = [() if gpu else tuple(cores[number::runs]) for number in range(runs)]
    memory = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # all placements are held open at the same time
    return [
        Contender(f"run {k}", "benchmarks.ours:train_step", setting, False, own, memory) for k, own in enumerate(shares)
    ]


def measure(flags: Flags) -> Path:
    gpu, cores = this_machine().gpu, len(os.sched_getaffinity(0))
    counts = flags.runs or ((1, 2, 3) if gpu else (1, cores))
    steps = flags.steps or (20 if gpu else 1)
    seconds = race_of_teams({f"{count} at once": team(count, flags) for count in counts}, flags.turns)
    cases = [
        Case(f"{count} at once", count * flags.batch * steps, "images", {"jaxseg": seconds[f"{count} at once"]})
        for count in counts
    ]
    return record("placement", asdict(flags) | {"out": None, "steps": steps}, cases, flags.out, flags.remark)


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
