"""Sliding-window prediction of whole images against PyTorch: python -m benchmarks.inference"""

from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from benchmarks import dtypes
from benchmarks.machine import this_machine
from benchmarks.record import Case, Options, record_parts
from benchmarks.turns import race


@dataclass(frozen=True)
class Flags(Options):
    """Options.

    Attributes:
        depth: of the ResNet, layers.
        width: of the ResNet, relative to the published one.
        crop: of the windows, pixels.
        stride: of the windows, pixels.
        height: of the images, pixels; GlaS has many of 522 x 775 (height x width).
        width_of_image: of the images, pixels.
        images: predicted together; 200 on GPUs, 2 on CPUs where 0.
        turns: of each contender.
    """

    depth: int = 50
    width: float = 1.0
    crop: int = 256
    stride: int = 128
    height: int = 522
    width_of_image: int = 775
    images: int = 0
    turns: int = 5


def measure(flags: Flags) -> Path:
    flags = replace(flags, images=flags.images or (200 if this_machine().gpu else 2))
    parts = {"predicting": lambda: _raced(flags)}
    return record_parts("inference", flags, parts)


def _raced(flags: Flags) -> list[Case]:
    setting = {name: getattr(flags, name) for name in ("depth", "width", "crop", "stride")}
    setting |= {"sizes": [(flags.height, flags.width_of_image)] * flags.images}
    seconds = race(dtypes.contenders("predict", setting), flags.turns)
    name = f"{flags.images} images of {flags.height} x {flags.width_of_image}"
    return dtypes.cases(name, flags.images, "images", seconds)


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
