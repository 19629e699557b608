"""A training step of the U-Net against PyTorch: python -m benchmarks.train_step

Ours draws where to cut, cuts, turns and normalises its crops within the step; the peer finds them ready.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks import dtypes
from benchmarks.machine import this_machine
from benchmarks.record import Case, Options, record_parts
from benchmarks.turns import race

BATCHES = (16, 64, 8, 32, 4)  # on GPUs: that of a study and that of most images a second first, should time be short
CROPS = 6400  # of a GPU's turn: two seconds at the 3,000 a second aimed at, beside which its clock's rise is short


@dataclass(frozen=True)
class Flags(Options):
    """Options.

    Attributes:
        depth: of the ResNet, layers.
        width: of the ResNet, relative to the published one.
        side: of a crop, pixels.
        batches: crops a step; 4 to 64 on GPUs and 4 on CPUs where none is given.
        steps: in one turn; those that take 6,400 crops on GPUs, 1 on CPUs where 0.
        one_core: of a CPU, in processor time: what a shared machine still measures well.
        turns: of each contender.
    """

    depth: int = 50
    width: float = 1.0
    side: int = 256
    batches: tuple[int, ...] = ()
    steps: int = 0
    one_core: bool = False
    turns: int = 7


def measure(flags: Flags) -> Path:
    gpu = this_machine().gpu
    batches = flags.batches or (BATCHES if gpu else (4,))
    parts = {f"batch {batch}": functools.partial(_raced, flags, batch) for batch in batches}
    name = "train_step_one_core" if flags.one_core else "train_step"
    setting = {"steps": {str(batch): steps(flags, batch) for batch in batches}}
    return record_parts(name, flags, parts, setting)


def steps(flags: Flags, batch: int) -> int:
    """Of a turn; on GPUs whole dispatches."""
    here = this_machine()
    return here.dispatched(flags.steps or (max(1, CROPS // batch) if here.gpu else 1))


def _raced(flags: Flags, batch: int) -> list[Case]:
    count = steps(flags, batch)
    setting = {"depth": flags.depth, "width": flags.width, "side": flags.side, "batch": batch}
    setting |= {"steps": count, "warm": 5 if this_machine().gpu else 2}
    seconds = race(dtypes.contenders("train_step", setting, flags.one_core), flags.turns)
    name = f"batch {batch}{', processor time of one core' * flags.one_core}"
    return dtypes.cases(name, batch * count, "images", seconds)


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
