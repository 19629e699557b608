"""The folder of a run: the only truth about it. What lies where, who holds it, whether it is done."""

import contextlib
import json
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxseg.config import RunConfig
from jaxseg.errors import InputError, UsageError
from jaxseg.files import disk_errors, locked, read_value, write_json

BEST = "best"  # checkpoint of the best model of the whole run
LATEST = "latest-"  # and a step: checkpoint to go on from


def budget_name(epochs: int, last: int) -> str:
    """Checkpoint of the best model within an epoch budget, of which the last is the whole run."""
    return BEST if epochs == last else f"epochs-{epochs:06d}"


@dataclass(frozen=True)
class RunFolder:
    """Paths and state of one run below `path`."""

    path: Path

    @classmethod
    def of(cls, study: Path, run: RunConfig) -> "RunFolder":
        return cls(study / "runs" / run.run_id)

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def scores(self) -> Path:
        """Parquet, one row per budget, test dataset and image."""
        return self.path / "scores.parquet"

    @property
    def class_scores(self) -> Path:
        """Parquet, one row per budget, test dataset, image and class; only of models of several classes."""
        return self.path / "class_scores.parquet"

    @property
    def ablation(self) -> Path:
        """CSV, scores with windows of other sizes and strides; only where they were asked for."""
        return self.path / "ablation.csv"

    @property
    def split(self) -> Path:
        return self.path / "split.json"

    @property
    def weights(self) -> Path:
        """What the encoder started from: name, digest of the arrays, mean, std, source, licence."""
        return self.path / "weights.json"

    @property
    def log(self) -> Path:
        """One JSON line per validation."""
        return self.path / "log.jsonl"

    @property
    def error(self) -> Path:
        """Why the run failed last time; removed when it is taken up again."""
        return self.path / "error.txt"

    @property
    def done(self) -> Path:
        return self.path / "DONE.json"

    def config(self) -> RunConfig:
        remedy = "give the folder of a run, such as studies/demo/runs/<run id>; a damaged one has to be made again"
        return read_value(self.config_file, RunConfig.from_json, what="a run's configuration", remedy=remedy)

    def read_weights(self) -> dict[str, Any]:
        """weights.json; `InputError` where it is missing or tells no mean and standard deviation of three colours."""
        remedy = f"delete {self.path} and train again"
        return read_value(self.weights, _initial_weights, what="a run's account of its weights", remedy=remedy)

    def read_done(self) -> dict[str, Any]:
        """DONE.json; `InputError` where it is missing or does not tell what was tested on, or how fast it was."""
        remedy = f"delete {self.path} and repeat the command that made it"
        return read_value(self.done, _ended, what="a finished run's record", remedy=remedy)

    def trained_on(self) -> dict[str, str]:
        """Fingerprint of the dataset that the run is trained on; empty before it begins."""
        if not self.split.exists():
            return {}
        remedy = f"delete {self.path} and repeat the command that made it"
        return read_value(self.split, _training_data, what="a split", remedy=remedy)

    def scored_on(self) -> dict[str, str]:
        """Fingerprints of the datasets that the run was scored on, where they were recorded."""
        return self.read_done().get("fingerprints", {}) if self.done.exists() else {}

    def class_names(self) -> tuple[str, ...]:
        """Of what the finished run tells apart, in the order of its masks' values 1, 2, …; empty where that is one
        class, or was not recorded.
        """
        return tuple(self.read_done().get("classes", ())) if self.done.exists() else ()

    def read_error(self) -> str:
        """What error.txt tells people: its last paragraph, below the traceback."""
        return self.error.read_text(errors="replace").strip().rsplit("\n\n", 1)[-1]

    def create(self, run: RunConfig) -> None:
        """Make the folder and write its configuration; a folder of another configuration is refused."""
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        if not self.config_file.exists():
            write_json(self.config_file, run.to_json())
        elif self.config() != run:
            remedy = "choose another output folder"
            raise InputError("holds another run", file=self.config_file, expected=run.run_id, remedy=remedy)

    def tested_on(self) -> tuple[str, ...]:
        """Datasets that the finished run is scored on; empty before."""
        return tuple(self.read_done()["test_datasets"]) if self.done.exists() else ()

    def is_done(self, test_datasets: tuple[str, ...] = ()) -> bool:
        """True when the run ended and all of `test_datasets` are scored."""
        return self.done.exists() and set(test_datasets) <= set(self.tested_on())

    def hold(self) -> AbstractContextManager[bool]:
        """Hold the run; gives False where another process holds it."""
        return locked(self.path / ".lock")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run, or `UsageError` where another process does."""
        with self.hold() as held:
            if not held:
                raise self.taken()
            yield

    def taken(self) -> UsageError:
        """What to say where another process holds the run."""
        return UsageError("another process is at this run", file=self.path, remedy="wait for it, or end it")

    def read_log(self) -> list[dict[str, Any]]:
        """Lines of the log; a last line that a kill cut short is left out, another damaged one is an `InputError`."""
        if not self.log.exists():
            return []
        *lines, _ = self.log.read_bytes().split(b"\n")
        return [self._logged(line, number) for number, line in enumerate(lines, start=1)]

    def _logged(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError("not an object")
            return value
        except ValueError as error:
            raise InputError(
                f"is not a line of the log: {error}",
                file=f"{self.log}, line {number}",
                found=line[:40],
                remedy=f"delete {self.path} and repeat the command, which makes this run again",
            ) from error


def _initial_weights(value: dict[str, Any]) -> dict[str, Any]:
    for name in ("mean", "std"):
        colours = [float(number) for number in value[name]]
        if len(colours) != 3 or not all(map(math.isfinite, colours)):
            raise ValueError(f"{name} must be three numbers, not {value[name]}")
    return value


def _training_data(value: dict[str, Any]) -> dict[str, str]:
    return {value["dataset"]: value["fingerprint"]} if "fingerprint" in value else {}


def _ended(value: dict[str, Any]) -> dict[str, Any]:
    float(value["images_per_second"])
    cores = value.get("cores", 1)  # which former versions did not tell
    if not isinstance(cores, int) or cores < 1:
        raise ValueError(f"cores must be a number, at least 1, not {cores!r}")
    names = value["test_datasets"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"test_datasets must be a list of names, not {names}")
    digests = value.get("fingerprints", {})
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        raise ValueError(f"fingerprints must be texts by name, not {digests}")
    classes = value.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"classes must be a list of names, not {classes}")
    return value


def runs_of(study: Path) -> list[RunFolder]:
    """All run folders of a study, sorted by run id."""
    return [RunFolder(file.parent) for file in sorted((study / "runs").glob("*/config.json"))]
