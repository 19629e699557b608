"""The input path, its two halves apart and together: python -m benchmarks.input

Drawing where to cut, on one core, against Grain with a random generator for each crop. Cutting,
rotating and flipping a batch and its masks on the device, against two calls of PyTorch's `grid_sample`, which finds its
images chosen and turned into floats beforehand. And how much of training is waiting for input.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.machine import this_machine
from benchmarks.record import Case, Options, record_parts
from benchmarks.turns import Contender, Turn, drawing, race

CUTS = {True: 300, False: 1}  # batches in a turn, so that on a GPU waiting once matters little
CUT_TOGETHER = 256  # crops that a GPU is handed at once, so that handing over matters little
STEPS = {True: 400, False: 10}  # of training in a turn, on a GPU or a CPU; input of 20 lies drawn when a turn begins


@dataclass(frozen=True)
class Flags(Options):
    """Options.

    Attributes:
        side: of a crop, pixels.
        batch: crops a batch.
        batches: drawn in a turn.
        depth: of the ResNet that is trained.
        width: of the ResNet that is trained.
        steps: of a turn of training; 400 on GPUs and 10 on CPUs where not given, none where 0.
        turns: of each contender.
    """

    side: int = 256
    batch: int = 16
    batches: int = 200
    depth: int = 50
    width: float = 1.0
    steps: int | None = None
    turns: int = 7


def plan_by_element(setting: dict[str, Any]) -> Turn:
    """Seconds to draw the batches the usual way: each crop by itself, with its own generator."""
    import grain

    side = setting["side"]

    def draw(image: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        angle = rng.uniform(0, 2 * np.pi)
        flip = rng.integers(0, 2, 2) * 2 - 1
        cosine, sine = np.cos(angle), np.sin(angle)
        return {
            "image": np.int32(image),
            "centre": (rng.integers(0, side + 1, 2) + (side - 1) / 2).astype(np.float32),
            "matrix": (np.array([[cosine, -sine], [sine, cosine]]) * flip).astype(np.float32),
        }

    crops = grain.MapDataset.range(16).seed(0).shuffle().repeat().random_map(draw).batch(setting["batch"])
    return drawing(crops, setting["batches"])


def measure(flags: Flags) -> Path:
    steps = STEPS[this_machine().gpu] if flags.steps is None else flags.steps
    flags = replace(flags, steps=this_machine().dispatched(steps))
    works = {"drawing": _drawn, "cutting": _cut} | ({"training": _trained} if flags.steps else {})
    parts = {name: functools.partial(work, flags) for name, work in works.items()}
    return record_parts("input", flags, parts)


def _drawn(flags: Flags) -> list[Case]:
    setting = {"side": flags.side, "batch": flags.batch, "batches": flags.batches}
    contenders = [
        Contender("jaxseg", "benchmarks.ours:plan", setting, one_core=True),
        Contender("Grain, crop by crop", "benchmarks.input:plan_by_element", setting, one_core=True),
    ]
    name = f"draw {flags.batches} batches of {flags.batch}, one core"
    return [Case(name, flags.batches * flags.batch, "crops", race(contenders, flags.turns))]


def _cut(flags: Flags) -> list[Case]:
    here = this_machine()
    cuts, one_core = CUTS[here.gpu], not here.gpu
    batch = max(flags.batch, CUT_TOGETHER) if here.gpu else flags.batch
    setting = {"side": flags.side, "batch": batch, "cuts": cuts}
    contenders = [Contender("jaxseg", "benchmarks.ours:cut", setting, one_core)]
    if here.peer:
        contenders.append(Contender("PyTorch grid_sample", "benchmarks.pytorch:cut", setting, one_core))
    name = f"cut {cuts} batches of {batch}" if here.gpu else f"cut a batch of {batch}, one core"
    return [Case(name, cuts * batch, "crops", race(contenders, flags.turns))]


def _trained(flags: Flags) -> list[Case]:
    """The same steps, by what of them is waiting for input and whole."""
    gpu = this_machine().gpu
    setting: dict[str, Any] = {"depth": flags.depth, "width": flags.width, "side": flags.side, "steps": flags.steps}
    setting |= {"batch": 64, "dtype": "bfloat16", "warm": 10} if gpu else {"batch": 4, "dtype": "float32", "warm": 1}
    contenders = [
        Contender("jaxseg, waiting for input", "benchmarks.ours:input_wait", setting),
        Contender("jaxseg, whole", "benchmarks.ours:train_step", setting),
    ]
    return [Case(f"{flags.steps} training steps", setting["steps"], "steps", race(contenders, flags.turns))]


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
