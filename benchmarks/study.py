"""What a study costs beyond its training: python -m benchmarks.study

One after the other: a warm worker's second run, until its first step begins and with all that is compiled in between; a
study of as many short runs as there are workers, which fills an empty compilation cache; and a whole study of them.
Studies go through `launch/sweep.py`, command to exit; beside them stand their runs' training times, shared out over the
workers, and the time from the command to the first training step. There is no peer: this is our own overhead.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.machine import this_machine
from benchmarks.record import Case, Options, record_parts
from benchmarks.turns import Contender, opened
from jaxseg.config import Study, load_study
from jaxseg.execution.footprint import memory_needed
from jaxseg.execution.resources import choose

ROOT = Path(__file__).parents[1]
DATASET = "synthetic_glands_a"
CONFIG = """
from jaxseg.config import ModelConfig, Recipe, Study


def get_study() -> Study:
    recipe = Recipe(ModelConfig({depth}, {width}), crop=128, stride=64, batch=8, budgets=({epochs},), validate_every=5)
    return Study("short", "Short runs", "glands", ({dataset!r},), ("random",), (1.0,), {runs}, recipe)
"""


@dataclass(frozen=True)
class Flags(Options):
    """Options.

    Attributes:
        depth: of the ResNet, layers.
        width: of the ResNet, relative to the published one.
        epochs: of each run.
        runs: of the study.
        workers: runs at once, on a GPU those that share it; as many as a sweep takes by itself where 0, 1 on a GPU.
        turns: second runs in a warm worker.
    """

    depth: int = 18
    width: float = 1 / 8
    epochs: int = 10
    runs: int = 100
    workers: int = 0
    turns: int = 5


def second_run(setting: dict[str, Any]) -> Any:
    """Seconds from the end of a run to the first step of the next; fails if anything is compiled in between."""
    import jax

    from jaxseg.config import ModelConfig, Recipe, RunConfig
    from jaxseg.execution.complete import complete
    from jaxseg.run_folder import RunFolder
    from jaxseg.training.run import TrainOptions

    compiled: list[str] = []
    begun: list[float] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    model = ModelConfig(setting["depth"], setting["width"])
    recipe = Recipe(model, crop=128, stride=64, batch=8, budgets=(2,))
    data, folder = Path(setting["data"]), Path(setting["study"])

    def run(repeat: int) -> None:
        config = RunConfig(DATASET, repeat=repeat, recipe=recipe)
        options = TrainOptions(on_step=lambda step, total, line: begun.append(time.perf_counter()))
        complete(RunFolder.of(folder, config), config, (DATASET,), data, folder, options=options)

    def turn() -> float:
        compiled.clear()
        begun.clear()
        started = time.perf_counter()
        run(len(list((folder / "runs").iterdir())))
        if compiled:
            raise RuntimeError(f"{len(compiled)} functions were compiled in a second run")
        return begun[0] - started

    run(0)
    return turn


def whole_study(study: Path, workers: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of the command, of training as the runs say it for each worker, and until the first step of training.

    Args:
        study: its configuration. folder: with `data`, and with the compilation cache in `cache`.
    """
    out = folder / study.stem
    options = ["--out", str(out), "--data-dir", str(folder / "data"), "--no-report", *at_once(workers)]
    command = [sys.executable, "launch/sweep.py", str(study), *options]
    started, clock = time.time(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "JAXSEG_CACHE": str(folder / "cache")})
    wall = time.perf_counter() - clock
    runs = list((out / "runs").iterdir())
    done = [json.loads((run / "DONE.json").read_text()) for run in runs]
    _check_device({each["device"] for each in done})
    trained = [each["seconds"] for each in done]
    begun = [(run / "log.jsonl").stat().st_mtime - seconds for run, seconds in zip(runs, trained, strict=True)]
    return {"whole": [wall], "training": [sum(trained) / workers], "start": [min(begun) - started]}


def at_once(workers: int) -> list[str]:
    """Options of a sweep with so many workers on the device that results are filed under."""
    if this_machine().gpu:
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        return ["--gpus", first, "--runs-per-gpu", str(workers)]
    return ["--gpus", "none", "--workers", str(workers)]


def _check_device(found: set[str]) -> None:
    here = this_machine()
    if here.gpu and found != {here.device}:
        raise RuntimeError(f"the study ran on {', '.join(sorted(found))}, not on {here.device}")


def overhead(whole: float, training: float, start: float) -> float:
    """What a study costs beyond its training and one start, as a part of its training."""
    return (whole - training - start) / training


def _workers(study: Study, data: Path) -> int:
    if this_machine().gpu:
        return 1
    return choose("none", 1, None, len(study.runs()), memory_needed(study, data)).workers


def _written(file: Path, flags: Flags, runs: int) -> Path:
    """The configuration of a study of that many runs."""
    file.write_text(CONFIG.format(dataset=DATASET, **asdict(flags) | {"runs": runs}))
    return file


def _second_runs(flags: Flags, folder: Path) -> list[Case]:
    setting: dict[str, Any] = {"depth": flags.depth, "width": flags.width}
    setting |= {"data": str(folder / "data"), "study": str(folder / "warm")}
    cache = {"JAXSEG_CACHE": str(folder / "cache-of-second-runs")}  # or its speed would be remembered for estimates
    with opened(Contender("jaxseg", "benchmarks.study:second_run", setting, environment=cache)) as turn:
        seconds = [turn() for _ in range(flags.turns)]
    return [Case("second run in a warm worker: its first step", 1, "starts", {"jaxseg": seconds})]


def _studies(flags: Flags, folder: Path) -> list[Case]:
    study = _written(folder / "short.py", flags, flags.runs)
    workers = flags.workers or _workers(load_study(study), folder / "data")
    first = whole_study(_written(folder / "first.py", flags, workers), workers, folder)
    seconds = whole_study(study, workers, folder)
    share = overhead(*(seconds[name][0] for name in ("whole", "training", "start")))
    print(f"beyond training and one start: {share:.1%} of training")
    number, together = f"{flags.runs} runs, {workers} at once", f"{workers} runs at once"
    return [
        Case(f"{number}, command to exit", flags.runs, "runs", {"jaxseg": seconds["whole"]}),
        Case(f"{number}, training", flags.runs, "runs", {"jaxseg": seconds["training"]}),
        Case("from the command to the first step", 1, "starts", {"jaxseg": seconds["start"]}),
        Case(f"{together}, empty cache, command to exit", workers, "runs", {"jaxseg": first["whole"]}),
        Case(f"{together}, empty cache, training", workers, "runs", {"jaxseg": first["training"]}),
        Case("from the command to the first step, empty cache", 1, "starts", {"jaxseg": first["start"]}),
    ]


def measure(flags: Flags) -> Path:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare = [sys.executable, "launch/prepare.py", DATASET, "--data-dir", str(folder / "data")]
        subprocess.run(prepare, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        works = {"second runs": _second_runs, "studies": _studies}
        parts = {name: functools.partial(work, flags, folder) for name, work in works.items()}
        return record_parts("study", flags, parts)


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
