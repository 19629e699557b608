"""What decides the result of a pretraining, as a frozen value. Importing this touches no device."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from jaxseg.config import COMPUTE_DTYPES, RANDOM, ComputeDtype, ModelConfig, check_name, coerce_numbers, require


@dataclass(frozen=True)
class PretrainConfig:
    """Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230) with Adam, for batches that fit on few accelerators.

    Attributes:
        depth: of the ResNet: 18, 34, 50, 101 or 152.
        width: of the ResNet, relative to the published one.
        weights: converted weights to start from, or "random".
        crop: side of the square views, pixels; a multiple of 32.
        zoom: views are magnified up to this factor, at least 1.
        apart: distance of the centres of an image's two views, in crop sides, along rows and along columns, at most.
        batch: images per step, over all devices together; each gives two views.
        epochs: an epoch shows as many pairs of views as there are images.
        warm_up: epochs in which the learning rate rises from 0.
        learning_rate: of Adam at its peak; falls along a cosine afterwards, to a thousandth.
        projector: width of the three layers that the loss looks through (the paper: 8192).
        redundancy: weight of the off-diagonal terms of the loss (the paper's lambda: 0.0051).
        stain: how far the amounts of dye vary, relative, in 0..1.
        colour: how far brightness, contrast and saturation vary, relative, in 0..1.
        grey: share of views without colour.
        blur: largest weight of the blurred copy that a view is mixed with.
        seed: names the random streams: order, places, colours, initial values.
        compute_dtype: of the encoder's activations; "auto" is bfloat16 on GPUs and float32 on CPUs. On CPUs bfloat16
            rounds only what is multiplied, and is faster where the processor is (AMX, AVX-512 of AMD).
    """

    depth: int = 50
    width: float = 1.0
    weights: str = RANDOM
    crop: int = 224
    zoom: float = 1.5
    apart: float = 0.5
    batch: int = 64
    epochs: int = 100
    warm_up: int = 10
    learning_rate: float = 5e-4
    projector: int = 2048
    redundancy: float = 0.0051
    stain: float = 0.1
    colour: float = 0.3
    grey: float = 0.1
    blur: float = 0.5
    seed: int = 0
    compute_dtype: ComputeDtype = "auto"

    def __post_init__(self) -> None:
        check_name("weights", self.weights)
        coerce_numbers(self, int, "depth", "crop", "batch", "epochs", "warm_up", "projector", "seed")
        coerce_numbers(self, float, "width", "zoom", "apart", "learning_rate", "redundancy")
        coerce_numbers(self, float, "stain", "colour", "grey", "blur")
        _ = self.model  # checks depth and width
        for name, fits, expected in (
            ("crop", self.crop > 0 and self.crop % 32 == 0, "a positive multiple of 32 pixels"),
            ("zoom", 1 <= self.zoom <= 4, "1 … 4"),
            ("apart", self.apart >= 0, "0 or more"),
            ("batch", self.batch >= 2, "at least 2: features are correlated over the batch"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("warm_up", self.warm_up >= 0, "0 or more epochs"),
            ("learning_rate", 0 < self.learning_rate < 1, "between 0 and 1"),
            ("projector", self.projector >= 2, "at least 2"),
            ("redundancy", self.redundancy > 0, "above 0"),
            ("stain", 0 <= self.stain < 1, "0 or more, below 1"),
            ("colour", 0 <= self.colour < 1, "0 or more, below 1"),
            ("grey", 0 <= self.grey <= 1, "0 … 1"),
            ("blur", 0 <= self.blur <= 1, "0 … 1"),
            ("compute_dtype", self.compute_dtype in COMPUTE_DTYPES, " or ".join(COMPUTE_DTYPES)),
        ):
            require(fits, name, getattr(self, name), expected)

    @property
    def model(self) -> ModelConfig:
        """The U-Net that these weights will fit."""
        return ModelConfig(self.depth, self.width)

    @property
    def stream(self) -> tuple[object, ...]:
        """Names of the random streams; the same for all initial weights."""
        return ("pretraining", self.seed)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
