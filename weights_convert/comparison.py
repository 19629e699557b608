"""How far converted weights compute what their source computes: against PyTorch, or what a receipt keeps of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxseg.errors import InputError
from jaxseg.models import golden
from jaxseg.models.golden import Golden
from jaxseg.storage.arrays import Tree
from weights_convert.extra import check_torch
from weights_convert.mapping import Tensors

TOLERANCE = 1e-4  # largest difference of a stage, relative to its largest activation


@dataclass(frozen=True)
class Agreement:
    """How far the two frameworks differ on a fixed image, and what PyTorch gave."""

    differences: dict[str, float]
    golden: Golden


def measure(tensors: Tensors, tree: Tree, depth: int, width: float, file: Path) -> Agreement:
    """Compare our encoder `tree` with PyTorch's on `tensors` (torchvision names), stage by stage.

    Raises:
        InputError: a stage differs by more than `TOLERANCE` of its largest activation, is not finite, or is the same
            wherever it looks.
        UsageError: PyTorch is missing.
    """
    check_torch("convert weights: every conversion is compared with it")
    from weights_convert import reference

    image = golden.image()
    theirs = reference.encoder(tensors, image)
    ours = golden.encoder(depth, width, tree, image)
    differences = {stage: relative_difference(ours[stage], theirs[stage]) for stage in theirs}
    refuse_disagreement(differences, file)
    _refuse_blindness(theirs, file)
    return Agreement(differences, golden.samples(theirs))


def _refuse_blindness(maps: dict[str, np.ndarray], file: Path) -> None:
    """`InputError` where maps (B, H, W, C) do not depend on the image: any two frameworks agree on weights of 0."""
    blind = [stage for stage, x in maps.items() if (x == x[:, :1, :1]).all()]
    if blind:
        raise InputError(
            "holds weights that do not see the image",
            file=file,
            found=f"the same activations at all places in {', '.join(blind)}",
            expected="activations that differ from place to place",
            remedy="weights that are 0 were never filled: save them again where they were trained",
        )


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference over the largest absolute expected value; infinite where one is not finite."""
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    scale = float(np.abs(expected).max())
    return float(np.abs(found - expected).max() / (scale or 1.0))


def refuse_disagreement(differences: dict[str, float], file: Path, judge: str = "PyTorch") -> None:
    """`InputError` naming the stages where `judge` and we do not compute the same."""
    wrong = [f"{stage} {value:.1e}" for stage, value in differences.items() if not value <= TOLERANCE]
    if wrong:
        raise InputError(
            f"converted weights do not compute what {judge} computes",
            file=file,
            found="; ".join(wrong),
            expected=f"relative differences of at most {TOLERANCE:g} (infinite: values overflow)",
            remedy="do not use these weights; check the file, and report it with `inspect`'s output if it is sound",
        )


def recheck(kept: Golden, depth: int, width: float, tree: Tree, file: Path) -> dict[str, float]:
    """Differences of our activations from the golden ones; `InputError` where they are too large."""
    found = golden.activations(depth, width, tree) if kept else {}
    differences = {}
    for stage, (scale, *expected) in kept.items():
        largest = np.abs(np.array(found[stage][1:]) - np.array(expected)).max()
        differences[stage] = float(largest / (scale or 1.0))
    refuse_disagreement(differences, file, "their source")
    return differences
