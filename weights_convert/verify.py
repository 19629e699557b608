"""Recheck a converted folder: without PyTorch by digest, shapes and golden activations; or against its file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxseg.config import ModelConfig
from jaxseg.errors import InputError
from jaxseg.files import sha256
from jaxseg.models import encoder_weights
from jaxseg.models.receipt import Receipt
from jaxseg.storage import arrays
from weights_convert import comparison
from weights_convert.convert import load


@dataclass(frozen=True)
class Verified:
    """What was rechecked: receipt, tensors, and differences from the golden activations by stage."""

    receipt: Receipt
    tensors: int
    differences: dict[str, float]


def verify(folder: Path) -> Verified:
    """Digest and shapes of the arrays, and activations against the source's that the receipt keeps.

    Raises:
        InputError: no receipt, damaged or exchanged arrays, another architecture, or other activations.
    """
    folder = folder.absolute()
    receipt = Receipt.read(folder)
    weights = encoder_weights.read(folder.parent, folder.name, ModelConfig(receipt.depth, receipt.width))
    tree = weights.tree()
    differences = comparison.recheck(receipt.golden, receipt.depth, receipt.width, tree, folder)
    return Verified(receipt, len(arrays.shapes(tree)), differences)


def verify_against(folder: Path, file: Path) -> None:
    """Convert `file` again, in memory, and compare every bit; needs PyTorch for PyTorch files.

    Raises:
        InputError: the file is not the receipt's, or a tensor differs.
    """
    folder = folder.absolute()
    receipt = Receipt.read(folder)
    found = sha256(file) if file.is_file() else "no file"
    if found != receipt.sha256:
        raise InputError("is not the file of the receipt", file=file, found=found, expected=receipt.sha256)
    kept, _ = arrays.load(folder / encoder_weights.ARRAYS)
    again = load(file).mapped.tree
    arrays.check_shapes(kept, again, folder)
    if arrays.digest(kept) != arrays.digest(again):
        raise InputError(
            "differs from the file", file=folder, expected=file, remedy="convert the file again under another name"
        )


def summary(verified: Verified) -> str:
    """One paragraph for people."""
    receipt = verified.receipt
    worst = max(verified.differences.values(), default=np.nan)
    activations = (
        f"golden activations met to {worst:.1e}" if verified.differences else "no golden activations in the receipt"
    )
    return (
        f"{receipt.name}: sound. ResNet{receipt.depth}, width {receipt.width:g}, {verified.tensors} tensors,"
        f" digest {receipt.arrays_sha256[:12]}…; {activations}."
    )
