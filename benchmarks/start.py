"""From the start of a process to the end of its first training step: python -m benchmarks.start

With an empty and with a filled compilation cache. The peer compiles on GPUs alone; on CPUs it has nothing to keep.
"""

import functools
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.failures import Failures
from benchmarks.machine import this_machine
from benchmarks.record import Case, Options, record_parts
from benchmarks.turns import Contender, in_turns, opened


@dataclass(frozen=True)
class Flags(Options):
    """Options.

    Attributes:
        depth: of the ResNet, layers.
        width: of the ResNet, relative to the published one.
        side: of a crop, pixels.
        batch: crops a step.
        turns: of each contender.
    """

    depth: int = 50
    width: float = 1.0
    side: int = 256
    batch: int = 4
    turns: int = 3


def contenders(setting: dict[str, Any], empty: Path, filled: Path) -> list[Contender]:
    here = this_machine()
    dtype = {"dtype": "bfloat16" if here.gpu else "float32"}
    ours, theirs = "benchmarks.started:train_step", "benchmarks.pytorch:train_step"
    caches = {"empty cache": empty, "filled cache": filled}
    result = [
        Contender(f"jaxseg, {name}", ours, setting | dtype, environment={"JAXSEG_CACHE": str(cache)})
        for name, cache in caches.items()
    ]
    if here.gpu and here.peer:
        for name, cache in caches.items():
            variables = {"TORCHINDUCTOR_CACHE_DIR": str(cache / "peer")}
            result.append(Contender(f"PyTorch, {name}", theirs, setting | dtype, environment=variables))
    elif here.peer:
        result.append(Contender("PyTorch", theirs, setting | dtype))
    return result


def first_step(contender: Contender, empty: Path) -> float:
    """Seconds from the start of a contender's process until its first step is done; `empty` is emptied before."""
    shutil.rmtree(empty, ignore_errors=True)
    started = time.perf_counter()
    with opened(contender):
        return time.perf_counter() - started


def measure(flags: Flags) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        parts = {"first step": lambda: [_started(flags, Path(folder))]}
        return record_parts("start", flags, parts)


def _started(flags: Flags, folder: Path) -> Case:
    setting = {"depth": flags.depth, "width": flags.width, "side": flags.side, "batch": flags.batch}
    steps = this_machine().dispatched(1)  # what a run begins with
    setting |= {"steps": steps, "warm": steps}
    empty, failures = folder / "empty", Failures()
    works = {
        contender.name: functools.partial(first_step, contender, empty)
        for contender in contenders(setting, empty, folder / "filled")
    }
    for name, work in works.items():
        if "filled" in name:
            with failures.noted(name):
                work()
    first = "first step" if steps == 1 else f"first {steps} steps"
    return Case(f"{first}, batch {flags.batch}", 1, "starts", in_turns(works, flags.turns, failures))


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
