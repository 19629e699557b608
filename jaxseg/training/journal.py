"""What a run tells while it trains: a line of JSON and TensorBoard scalars for each validation."""

import json
import math
import time
from typing import Any, Self

from jaxseg.files import disk_errors, write_text
from jaxseg.run_folder import RunFolder
from jaxseg.training.tensorboard import Scalars


class Journal:
    """Appends to `log.jsonl` and `tensorboard/`; use as a context manager.

    What stands in the log after `step`, where the run goes on, is removed: those steps are taken again.
    """

    def __init__(self, folder: RunFolder, step: int) -> None:
        self._folder = folder
        kept = [line for line in folder.read_log() if line["step"] <= step]
        if folder.log.exists():
            write_text(folder.log, "".join(json.dumps(line) + "\n" for line in kept))
        self._seconds = float(kept[-1]["seconds"]) if kept else 0.0
        self._started = time.perf_counter()
        self._scalars_folder = folder.path / "tensorboard"
        with disk_errors(self._scalars_folder):
            self._scalars = Scalars(self._scalars_folder, purge_step=step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with disk_errors(self._scalars_folder):
            self._scalars.close()

    def write(self, step: int, values: dict[str, Any]) -> None:
        """One validation. `seconds` counts from the run's first start, without the time it was stopped."""
        seconds = self._seconds + time.perf_counter() - self._started
        line = {"step": step, **values, "seconds": round(seconds, 3)}
        with disk_errors(self._folder.log), self._folder.log.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        finite = {name: value for name, value in values.items() if isinstance(value, float) and math.isfinite(value)}
        with disk_errors(self._scalars_folder):
            self._scalars.add(step, finite)


class Silence(Journal):
    """The journal of a process that leaves it to another one to write."""

    def __init__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, step: int, values: dict[str, Any]) -> None:
        pass


def median_speed(folder: RunFolder) -> float:
    """Median images per second of a finished run's log, compilation left out where there is more than one line."""
    lines = folder.read_log()
    speeds = sorted(line["images_per_second"] for line in lines[1:] or lines)
    return speeds[len(speeds) // 2] if speeds else 0.0
