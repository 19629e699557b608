"""Reading a ResNet checkpoint against PyTorch's own reading: python -m benchmarks.conversion

The file is made up: torchvision's names and shapes, random values. Ours checks the file's pickle and checksums, finds
out its layout and maps each tensor; the peer loads and copies into a module. A whole conversion has no peer. All of it
is on the CPU, as `python -m weights_convert` is.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks import material
from benchmarks.record import Case, Options, record_parts
from benchmarks.turns import Contender, race

ON_CPU = {"JAX_PLATFORMS": "cpu"}


@dataclass(frozen=True)
class Flags(Options):
    """Options.

    Attributes:
        depth: of the ResNet, layers.
        width: of the ResNet, relative to the published one.
        turns: of each contender.
    """

    depth: int = 50
    width: float = 1.0
    turns: int = 7


def measure(flags: Flags) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "resnet.pth"
        material.checkpoint(file, flags.depth, flags.width)
        setting = {"file": str(file), "depth": flags.depth, "width": flags.width}
        reading = [
            Contender("jaxseg", "benchmarks.ours:read_weights", setting, environment=ON_CPU),
            Contender("PyTorch", "benchmarks.pytorch:read_weights", setting, environment=ON_CPU),
        ]
        whole = [Contender("jaxseg", "benchmarks.ours:convert_weights", setting, environment=ON_CPU)]
        parts = {
            "reading": lambda: [Case("read a file", 1, "files", race(reading, flags.turns))],
            "converting": lambda: [Case("convert, compare, write", 1, "files", race(whole, flags.turns))],
        }
        return record_parts("conversion", flags, parts)


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
