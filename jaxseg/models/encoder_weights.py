"""Converted encoders on disk: `<weights_dir>/<name>/{receipt.json, arrays/}`."""

import dataclasses
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from jaxseg.config import ModelConfig
from jaxseg.errors import InputError, UsageError
from jaxseg.files import check_may_be_folder, disk_errors, new_folder
from jaxseg.models.receipt import FILE_NAME, Receipt
from jaxseg.models.unet import network
from jaxseg.storage import arrays
from jaxseg.storage.arrays import Tree
from jaxseg.wording import listed

ARRAYS = "arrays"
LITTER = (".DS_Store", "._*", ".nfs*", "Thumbs.db", "desktop.ini")  # what systems leave in folders that are looked at


@dataclass(frozen=True)
class EncoderWeights:
    """Parameters and running statistics below `encoder/`, float32 NumPy, with their receipt."""

    params: Tree
    stats: Tree
    receipt: Receipt

    def tree(self) -> Tree:
        return {"params": self.params, "stats": self.stats}

    def write(self, weights_dir: Path) -> Path:
        """Write below `weights_dir` under the receipt's name; the digest is filled in here.

        Raises:
            UsageError: other files lie there, which would be lost.
        """
        folder = weights_dir / self.receipt.name
        _refuse_other_files(folder)
        with new_folder(folder) as aside:
            digest = arrays.save(aside / ARRAYS, self.tree())
            dataclasses.replace(self.receipt, arrays_sha256=digest).write(aside)
        return folder


def _refuse_other_files(folder: Path) -> None:
    """A folder is replaced as a whole, and people keep the file that they convert where its weights will lie."""
    check_may_be_folder(folder)
    with disk_errors(folder):
        there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    others = [name for name in there - {FILE_NAME, ARRAYS} if not any(fnmatchcase(name, each) for each in LITTER)]
    if others:
        raise UsageError(
            "holds other files, which would be lost: the folder is replaced",
            file=folder,
            found=listed(sorted(others)),
            expected=f"no such folder, or {FILE_NAME} and {ARRAYS}/ alone",
            remedy="move them away, or choose another --name or --out",
        )


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
