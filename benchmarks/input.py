"""The input path, its two halves apart and together: python -m benchmarks.input

Drawing where to cut, on one core, against Grain with a random generator for each crop. Cutting,
rotating and flipping a batch and its masks on the device, against two calls of PyTorch's `grid_sample`, which finds its
images chosen and turned into floats beforehand. And how much of training is waiting for input.
"""

import itertools
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.machine import this_machine
from benchmarks.record import RESULTS, Case, record
from benchmarks.turns import Contender, Turn, race

CUTS = {True: 50, False: 1}  # batches in a turn, so that on a GPU launching and waiting once matter little
STEPS = {True: 400, False: 10}  # of training in a turn, on a GPU or a CPU; input of 20 lies drawn when a turn begins


@dataclass(frozen=True)
class Flags:
    """Options.

    Attributes:
        side: of a crop, pixels.
        batch: crops a batch.
        batches: drawn in a turn.
        depth: of the ResNet that is trained.
        width: of the ResNet that is trained.
        steps: of a turn of training; 400 on GPUs and 10 on CPUs where not given, none where 0.
        turns: of each contender.
        out: folder of results.
        remark: kept with the results.
    """

    side: int = 256
    batch: int = 16
    batches: int = 200
    depth: int = 50
    width: float = 1.0
    steps: int | None = None
    turns: int = 7
    out: Path = RESULTS
    remark: str = ""


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
    positions = itertools.count()

    def turn() -> float:
        started = time.perf_counter()
        for position in itertools.islice(positions, setting["batches"]):
            crops[position]
        return time.perf_counter() - started

    turn()
    return turn


def measure(flags: Flags) -> Path:
    flags = replace(flags, steps=STEPS[this_machine().gpu] if flags.steps is None else flags.steps)
    setting = {"side": flags.side, "batch": flags.batch, "batches": flags.batches}
    drawing = [
        Contender("jaxseg", "benchmarks.ours:plan", setting, one_core=True),
        Contender("Grain, crop by crop", "benchmarks.input:plan_by_element", setting, one_core=True),
    ]
    one_core, cuts = not this_machine().gpu, CUTS[this_machine().gpu]
    setting |= {"cuts": cuts}
    cutting = [Contender("jaxseg", "benchmarks.ours:cut", setting, one_core)]
    if this_machine().peer:
        cutting.append(Contender("PyTorch grid_sample", "benchmarks.pytorch:cut", setting, one_core))
    cases = [
        Case(f"draw {flags.batches} batches of {flags.batch}, one core", flags.batches * flags.batch, "crops",
             race(drawing, flags.turns)),
        Case(f"cut {f'{cuts} batches' if cuts > 1 else 'a batch'} of {flags.batch}{', one core' * one_core}",
             cuts * flags.batch, "crops", race(cutting, flags.turns)),
    ]  # fmt: skip
    if flags.steps:
        cases.append(Case(f"{flags.steps} training steps", flags.steps, "steps", race(_training(flags), flags.turns)))
    return record("input", asdict(flags) | {"out": None}, cases, flags.out, flags.remark)


def _training(flags: Flags) -> list[Contender]:
    """The same steps, by what of them is waiting for input and whole."""
    gpu = this_machine().gpu
    setting: dict[str, Any] = {"depth": flags.depth, "width": flags.width, "side": flags.side}
    setting |= {"batch": 64, "dtype": "bfloat16", "warm": 10} if gpu else {"batch": 4, "dtype": "float32", "warm": 1}
    setting["steps"] = flags.steps
    return [
        Contender("jaxseg, waiting for input", "benchmarks.ours:input_wait", setting),
        Contender("jaxseg, whole", "benchmarks.ours:train_step", setting),
    ]


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
