"""How fast this host has trained before, kept beside the compilation cache: what `--dry-run` predicts from."""

import contextlib
import hashlib
import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from jaxseg.config import ModelConfig, Recipe
from jaxseg.errors import InputError, JaxsegError
from jaxseg.execution.compile_cache import cache_folder, check
from jaxseg.files import write_json

FOLDER = "speeds"


@dataclass(frozen=True)
class Speed:
    """The last run of its kind on a host.

    Attributes:
        device: kind of accelerator, or "cpu"; cores: that the process could use.
        images_per_second: trained by one run, alone on its one device, without validation.
    """

    host: str
    device: str
    cores: int
    model: ModelConfig
    crop: int
    batch: int
    compute_dtype: str
    images_per_second: float

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
        return cls(*kind, images_per_second)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(**{**value, "model": ModelConfig(**value["model"])})


def remember(recipe: Recipe, device: str, cores: int, images_per_second: float) -> None:
    """Keep a run's speed in place of that of an earlier run of its kind; where it cannot be written, go on."""
    if images_per_second <= 0:
        return
    value = asdict(Speed.of(recipe, device, cores, images_per_second))
    same = {key: value[key] for key in value if key != "images_per_second"}
    name = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]
    with contextlib.suppress(InputError, OSError):
        write_json(check() / FOLDER / f"{name}.json", value)


def known(gpu: bool) -> list[Speed]:
    """Speeds of this host's CPU, or of GPUs of all hosts that share the folder."""
    speeds = [speed for file in sorted((cache_folder() / FOLDER).glob("*.json")) if (speed := _read(file))]
    return [each for each in speeds if each.gpu == gpu and (gpu or each.host == socket.gethostname())]


def _read(file: Path) -> Speed | None:
    """None where a file is not what this version writes: it is only a memory."""
    try:
        speed = Speed.from_json(json.loads(file.read_bytes()))
        return speed if speed.images_per_second > 0 and speed.cores > 0 else None
    except (OSError, ValueError, TypeError, KeyError, JaxsegError):
        return None
