"""Converted encoders on disk: `<weights_dir>/<name>/{receipt.json, arrays/}`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from jaxseg.config import ModelConfig
from jaxseg.errors import InputError
from jaxseg.files import new_folder
from jaxseg.models.receipt import Receipt
from jaxseg.models.unet import network
from jaxseg.storage import arrays
from jaxseg.storage.arrays import Tree

ARRAYS = "arrays"


@dataclass(frozen=True)
class EncoderWeights:
    """Parameters and running statistics below `encoder/`, float32 NumPy, with their receipt."""

    params: Tree
    stats: Tree
    receipt: Receipt

    def tree(self) -> Tree:
        return {"params": self.params, "stats": self.stats}

    def write(self, weights_dir: Path) -> Path:
        """Write below `weights_dir` under the receipt's name; the digest is filled in here."""
        folder = weights_dir / self.receipt.name
        receipt = dataclasses.replace(self.receipt, arrays_sha256=arrays.digest(self.tree()))
        with new_folder(folder) as aside:
            arrays.save(aside / ARRAYS, self.tree())
            receipt.write(aside)
        return folder


def read(weights_dir: Path, name: str, config: ModelConfig) -> EncoderWeights:
    """Read converted weights for a model of this configuration.

    Raises:
        InputError: no such weights, no receipt, arrays that are not those of the receipt, or another architecture.
    """
    folder = weights_dir / name
    receipt = Receipt.read(folder)
    receipt.check_fits(config, folder)
    shapes = network(config)
    like = {"params": shapes.params["encoder"], "stats": shapes.stats["encoder"]}
    tree, _ = arrays.load(folder / ARRAYS, like)
    found = arrays.digest(tree)
    if found != receipt.arrays_sha256:
        raise InputError(
            "arrays are not those of the receipt",
            file=folder,
            found=found,
            expected=receipt.arrays_sha256,
            remedy="convert the weights again: python -m weights_convert convert FILE --source NAME --out DIR",
        )
    return EncoderWeights(tree["params"], tree["stats"], receipt)
