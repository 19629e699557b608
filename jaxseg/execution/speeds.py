"""How fast this host has trained before, kept beside the compilation cache: what `--dry-run` predicts from."""

import contextlib
import hashlib
import json
import socket
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from jaxseg.config import ModelConfig, Recipe
from jaxseg.errors import InputError, JaxsegError
from jaxseg.execution.compile_cache import cache_folder, check
from jaxseg.files import write_json

FOLDER = "speeds"
KEPT = 5  # of a kind: a few, so that a forecast soon follows a host that has changed


@dataclass(frozen=True)
class Speed:
    """What the latest runs of a kind reached on a host.

    Attributes:
        device: kind of accelerator, or "cpu"; cores: that the process could use.
        runs: images a second that each trained, alone on its one device, without validation; the latest last.
    """

    host: str
    device: str
    cores: int
    model: ModelConfig
    crop: int
    batch: int
    compute_dtype: str
    runs: tuple[float, ...]

    @property
    def images_per_second(self) -> float:
        """The median, so that one run beside other work does not set the next forecast."""
        return statistics.median(self.runs)

    @property
    def gpu(self) -> bool:
        return self.device != "cpu"

    def is_of(self, recipe: Recipe) -> bool:
        """Whether runs of the recipe do the same work in a step."""
        mine = (self.model, self.crop, self.batch, self.compute_dtype)
        return mine == (recipe.model, recipe.crop, recipe.batch, recipe.compute_dtype)

    @classmethod
    def of(cls, recipe: Recipe, device: str, cores: int, images_per_second: float) -> Self:
        """A speed on this host."""
        kind = (socket.gethostname(), device, cores, recipe.model, recipe.crop, recipe.batch, recipe.compute_dtype)
        return cls(*kind, (images_per_second,))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(**{**value, "model": ModelConfig(**value["model"]), "runs": tuple(value["runs"])})


def remember(recipe: Recipe, device: str, cores: int, images_per_second: float) -> None:
    """Keep a run's speed beside those of earlier runs of its kind; where it cannot be written, go on."""
    if images_per_second <= 0:
        return
    speed = Speed.of(recipe, device, cores, images_per_second)
    kind = asdict(speed)
    del kind["runs"]
    name = hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:16]
    with contextlib.suppress(InputError, OSError):
        file = check() / FOLDER / f"{name}.json"
        earlier = former.runs if (former := _read(file)) else ()
        write_json(file, asdict(speed) | {"runs": [*earlier, *speed.runs][-KEPT:]})


def known(gpu: bool) -> list[Speed]:
    """Speeds of this host's CPU, or of GPUs of all hosts that share the folder."""
    speeds = [speed for file in sorted((cache_folder() / FOLDER).glob("*.json")) if (speed := _read(file))]
    return [each for each in speeds if each.gpu == gpu and (gpu or each.host == socket.gethostname())]


def _read(file: Path) -> Speed | None:
    """None where a file is not what this version writes: it is only a memory."""
    try:
        speed = Speed.from_json(json.loads(file.read_bytes()))
        return speed if speed.runs and min(speed.runs) > 0 and speed.cores > 0 else None
    except (OSError, ValueError, TypeError, KeyError, JaxsegError):
        return None
