"""How many runs to train at once on one device: python -m benchmarks.placement

Processes that train the same net side by side: on a GPU they share it, on CPUs each has its part of the cores. There is
no peer; the first line is what a single run reaches with everything for itself.
"""

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.machine import this_machine
from benchmarks.record import Case, Options, record_parts
from benchmarks.turns import Contender, race_of_teams
from jaxseg.config import ModelConfig, Recipe
from jaxseg.execution.footprint import training_bytes
from jaxseg.execution.resources import MEMORY_SHARE, memory, usable_cores


@dataclass(frozen=True)
class Flags(Options):
    """Options.

    Attributes:
        depth: of the ResNet, layers.
        width: of the ResNet, relative to the published one.
        side: of a crop, pixels.
        batch: crops a step of each run; 16 on GPUs, 4 on CPUs where 0.
        runs: at once; 1, 2 and 3 on a GPU, 1 and one a core on CPUs where none is given, as far as there is memory.
        steps: in one turn; 200 on GPUs, 1 on CPUs where 0.
        turns: of each placement.
    """

    depth: int = 50
    width: float = 1.0
    side: int = 256
    batch: int = 0
    runs: tuple[int, ...] = ()
    steps: int = 0
    turns: int = 5


def team(runs: int, flags: Flags, cache: str) -> list[Contender]:
    """The processes of one placement, the cores of a CPU in equal parts.

    On a GPU all compute what the first process of all compiled: several that compiled at once would try out their
    kernels on a GPU that is busy with those of the others.
    """
    gpu = this_machine().gpu
    setting: dict[str, Any] = {"depth": flags.depth, "width": flags.width, "side": flags.side, "batch": flags.batch}
    setting |= {"dtype": "bfloat16" if gpu else "float32", "warm": 20 if gpu else 1, "steps": flags.steps}
    cores = sorted(os.sched_getaffinity(0))
    shares = [() if gpu else tuple(cores[number::runs]) for number in range(runs)]
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # all placements are held open at the same time
    if gpu:
        environment |= {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    work = "benchmarks.ours:train_step"
    return [Contender(f"run {k}", work, setting, cores=own, environment=environment) for k, own in enumerate(shares)]


def most_at_once(flags: Flags) -> int:
    """One a core, while a single one stays open beside them and all find memory."""
    recipe = Recipe(ModelConfig(flags.depth, flags.width), crop=flags.side, stride=flags.side, batch=flags.batch)
    fitting = int(memory() * MEMORY_SHARE / training_bytes(recipe)) - 1
    return max(1, min(usable_cores(), fitting))


def measure(flags: Flags) -> Path:
    gpu = this_machine().gpu
    batch = flags.batch or (16 if gpu else 4)
    steps = this_machine().dispatched(flags.steps or (200 if gpu else 1))
    flags = dataclasses.replace(flags, batch=batch, steps=steps)
    parts = {"training": lambda: _raced(flags)}
    return record_parts("placement", flags, parts)


def _raced(flags: Flags) -> list[Case]:
    counts = flags.runs or ((1, 2, 3) if this_machine().gpu else tuple(sorted({1, most_at_once(flags)})))
    with tempfile.TemporaryDirectory() as cache:
        teams = {f"{count} at once": team(count, flags, cache) for count in counts}
        seconds = race_of_teams(teams, flags.turns)
    return [
        Case(f"{count} at once", count * flags.batch * flags.steps, "images", {"jaxseg": seconds[f"{count} at once"]})
        for count in counts
    ]


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
