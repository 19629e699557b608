"""The receipt of initial weights: what they are, where they come from, how they want their images."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from jaxseg.config import ModelConfig
from jaxseg.errors import InputError
from jaxseg.files import read_value, write_json
from jaxseg.wording import listed

FILE_NAME = "receipt.json"


@dataclass(frozen=True)
class Receipt:
    """What was converted from what, and how far the two agree.

    Attributes:
        name: folder below the weights directory.
        source: entry of the table of known weights, or how the file was described.
        file, sha256, bytes: the source file as it was read.
        layout: which arrangement of names was recognised in it.
        depth, width: of the ResNet (see `ModelConfig`).
        mean, std: statistics that images in [0, 1] are normalised with, RGB.
        statistics_from: where these statistics are stated.
        licence, citation, address: of the source.
        used: source tensor name -> Flax path; dropped: source tensor name -> reason.
        filled: number of Flax leaves, all of them written.
        agreement: stage -> largest absolute difference from the source framework on a fixed input, divided by the
            largest absolute activation.
        arrays_sha256: digest of the converted arrays (`arrays.digest`).
        golden: stage -> largest absolute activation, then eight activations, of the source framework on that input
            (see `jaxseg.models.golden`); of our own for weights that were trained here.
        remarks: what a reader should know, for instance that the file is not the published one.
    """

    name: str
    source: str
    file: str
    sha256: str
    bytes: int
    layout: str
    depth: int
    width: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    statistics_from: str
    licence: str
    citation: str
    address: str
    arrays_sha256: str
    used: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    filled: int = 0
    agreement: dict[str, float] = field(default_factory=dict)
    golden: dict[str, list[float]] = field(default_factory=dict)
    remarks: str = ""

    def __post_init__(self) -> None:
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, numbers)) or min(self.std) <= 0:
            raise ValueError(f"mean and std must be three finite numbers, std positive: {self.mean} {self.std}")

    def write(self, folder: Path) -> None:
        write_json(folder / FILE_NAME, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `<folder>/receipt.json`; `InputError` where it is missing or incomplete."""
        place = f"--name {folder.name} --out {folder.parent}"
        remedy = (
            "python -m weights_convert list names the known sources and says where to get their files; then: "
            f"python -m weights_convert convert FILE --source SOURCE {place}; "
            f"or, on images of your own, python launch/pretrain.py --images DIR {place}"
        )
        file = folder / FILE_NAME
        if not folder.is_dir():
            there = listed(sorted(path.parent.name for path in folder.parent.glob(f"[a-z0-9]*/{FILE_NAME}")))
            raise InputError("no such weights", file=folder, found=f"there are: {there or 'none'}", remedy=remedy)
        return read_value(file, cls._from_json, what="a complete receipt", remedy=remedy)

    def check_fits(self, model: ModelConfig, folder: Path) -> None:
        """`InputError` where the weights in `folder` are of another ResNet than the model's encoder."""
        if (self.depth, self.width) != (model.depth, model.width):
            raise InputError(
                "are weights of another ResNet",
                file=folder,
                found=f"ResNet{self.depth}, width {self.width:g}",
                expected=f"ResNet{model.depth}, width {model.width:g}",
                remedy="choose other weights, or set the study's model to that depth and width",
            )

    @classmethod
    def _from_json(cls, value: dict[str, Any]) -> Self:
        return cls(**{**value, "mean": tuple(value["mean"]), "std": tuple(value["std"])})
