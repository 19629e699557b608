"""How alike two networks see the same patches: debiased linear CKA and Procrustes distance on raw features.

The paper suspects that weights "may be related via a rigid transformation", judged from UMAP, which keeps no rigid
relation. Both measures here are blind to rotation, reflection, shift and scale, and are taken before any embedding. The
control is a second repeat of the same weights: other split, other decoder, same start.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxseg.analysis.feature_vectors import LAYERS, RunFeatures
from jaxseg.seeds import generator

CONTROL = "same weights, other repeat"
APART = "other weights, other repeat"
APART_SAME_REPEAT = "other weights, same repeat"
SHUFFLES = 5

Vectors = NDArray[np.float64]


def debiased_cka(one: Vectors, other: Vectors) -> float:
    """Linear CKA of (N, C) and (N, D) from the unbiased HSIC (Song et al., JMLR 2012); at most 1, about 0 for
    unrelated features, also where channels outnumber the N patches, for which the plain CKA is biased upwards.
    """
    first, second = (_centred_gram(x) for x in (one, other))
    norm = _hsic(first, first) * _hsic(second, second)
    return float(_hsic(first, second) / np.sqrt(norm)) if norm > 0 else float("nan")


def _centred(x: Vectors) -> Vectors:
    """Without its mean; exactly 0 where a dead layer gives every patch the same, up to rounding."""
    shifted = x - x.mean(axis=0)
    return shifted if np.linalg.norm(shifted) > 1e-9 * np.linalg.norm(x) else np.zeros_like(shifted)


def _centred_gram(x: Vectors) -> Vectors:
    shifted = _centred(x)  # CKA is blind to shifts; without the mean the sums below stay small
    gram = shifted @ shifted.T
    np.fill_diagonal(gram, 0)
    return gram


def _hsic(k: Vectors, m: Vectors) -> float:
    n = len(k)
    rows, columns = k.sum(axis=0), m.sum(axis=0)
    mean = rows.sum() * columns.sum() / ((n - 1) * (n - 2))
    return float(((k * m).sum() + mean - 2 * (rows @ columns) / (n - 2)) / (n * (n - 3)))


def procrustes(one: Vectors, other: Vectors) -> float:
    """Sum of squares left after the best shift, scale, rotation and reflection of one set onto the other, 0 … 1;
    NaN where one of them is a single point.
    """
    first, second = _shape(one), _shape(other)
    if not first.any() or not second.any():
        return float("nan")
    overlap = np.linalg.svd(first.T @ second, compute_uv=False).sum()
    return float(max(0.0, 1 - overlap**2))


def _shape(x: Vectors) -> Vectors:
    """(channels or N, whichever is less, N)ᵀ coordinates of the centred, unit-size configuration; an own rotation of
    the channels, which Procrustes does not see, keeps the matrices no wider than the number of patches.
    """
    shifted = _centred(x)
    if shifted.shape[1] > len(shifted):
        left, values, _ = np.linalg.svd(shifted, full_matrices=False)
        shifted = left * values
    norm = np.linalg.norm(shifted)
    return shifted / norm if norm > 0 else shifted


@dataclass(frozen=True)
class Similarity:
    """One pair of runs at one layer; `procrustes_chance` is the distance with the patches of one set shuffled."""

    trained_on: str
    layer: str
    pair: str
    weights: str
    other: str
    repeat: int
    other_repeat: int
    cka: float
    procrustes: float
    procrustes_chance: float


def similarities(features: Sequence[RunFeatures]) -> pd.DataFrame:
    """All pairs worth comparing, within each training dataset.

    Two weights are compared across different repeats, as the control is; across the same repeat only where there is no
    second one.
    """
    rows = []
    for one, other in itertools.combinations(features, 2):
        pair = _pair(one, other, features)
        if one.trained_on == other.trained_on and pair is not None:
            rows += [_compare(one, other, pair, layer) for layer in LAYERS]
    return pd.DataFrame([vars(row) for row in rows], columns=list(Similarity.__dataclass_fields__))


def _pair(one: RunFeatures, other: RunFeatures, features: Sequence[RunFeatures]) -> str | None:
    if one.weights == other.weights:
        return CONTROL
    if one.repeat != other.repeat:
        return APART
    repeats = {f.repeat for f in features if f.trained_on == one.trained_on}
    return APART_SAME_REPEAT if len(repeats) == 1 else None


def _compare(one: RunFeatures, other: RunFeatures, pair: str, layer: str) -> Similarity:
    x, y = one.layers[layer], other.layers[layer]
    rng = generator("shuffle", one.trained_on, layer)
    chance = np.mean([procrustes(x, y[rng.permutation(len(y))]) for _ in range(SHUFFLES)])
    return Similarity(
        one.trained_on,
        layer,
        pair,
        one.weights,
        other.weights,
        one.repeat,
        other.repeat,
        debiased_cka(x, y),
        procrustes(x, y),
        float(chance),
    )


def similarity_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, least and largest CKA and Procrustes distance per training dataset, layer and kind of pair."""
    groups = table.groupby(["trained_on", "layer", "pair"], sort=False)
    return groups.agg(
        pairs=("cka", "size"),
        cka=("cka", "mean"),
        cka_least=("cka", "min"),
        cka_largest=("cka", "max"),
        procrustes=("procrustes", "mean"),
        procrustes_least=("procrustes", "min"),
        procrustes_largest=("procrustes", "max"),
        procrustes_chance=("procrustes_chance", "mean"),
    ).reset_index()
