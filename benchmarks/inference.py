"""Sliding-window prediction of whole images against PyTorch: python -m benchmarks.inference"""

from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from benchmarks.machine import this_machine
from benchmarks.record import RESULTS, Case, record
from benchmarks.turns import Contender, race


@dataclass(frozen=True)
class Flags:
    """Options.

    Attributes:
        depth, width: of the ResNet. crop, stride: of the windows, pixels.
        height, width_of_image: of the images, pixels; GlaS has many of 522 x 775.
        images: predicted together; 20 on GPUs, 2 on CPUs where 0.
        turns: of each contender. out: folder of results. remark: kept with the results.
    """

    depth: int = 50
    width: float = 1.0
    crop: int = 256
    stride: int = 128
    height: int = 522
    width_of_image: int = 775
    images: int = 0
    turns: int = 5
    out: Path = RESULTS
    remark: str = ""


def measure(flags: Flags) -> Path:
    here = this_machine()
    images = flags.images or (20 if here.gpu else 2)
    setting = {name: getattr(flags, name) for name in ("depth", "width", "crop", "stride")}
    setting |= {"sizes": [(flags.height, flags.width_of_image)] * images}
    ours = "bfloat16" if here.gpu else "float32"
    theirs = [] if not here.peer else ["bfloat16"] if here.gpu else ["float32", "bfloat16"]
    contenders = [
        Contender(f"jaxseg {ours}", "benchmarks.ours:predict", setting | {"dtype": ours}),
        *(Contender(f"PyTorch {d}", "benchmarks.pytorch:predict", setting | {"dtype": d}) for d in theirs),
    ]
    name = f"{images} images of {flags.height} x {flags.width_of_image}"
    case = Case(name, images, "images", race(contenders, flags.turns))
    return record("inference", asdict(flags) | {"out": None, "images": images}, [case], flags.out, flags.remark)


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
