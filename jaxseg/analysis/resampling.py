"""Bootstrap over patients and repeats, and sign-flip tests: what an image set and a few trainings can show."""

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from jaxseg.analysis.cells import Cell, Condition, Matrix
from jaxseg.seeds import generator

RESAMPLES = 10_000
FLIPS = 20_000
EXACT_BLOCKS = 14  # up to 2^14 sign patterns are all enumerated


class Interval(NamedTuple):
    low: float
    high: float


def resampled_difference(one: Condition, other: Condition, paired: Cell) -> Matrix:
    """Resampled means of `one` minus `other`, with the same draws whoever asks and whichever of the two comes first: a
    report must not show two intervals of one difference.
    """
    return resampled_means(paired, generator("difference", *min(one, other), *max(one, other)))


def resampled_means(cell: Cell, stream: np.random.Generator, resamples: int = RESAMPLES) -> Matrix:
    """Means (resamples,) of a hierarchical bootstrap of a matrix of repeats × images.

    Patients are drawn with all their images, then repeats; a drawn repeat holds for all drawn images, because
    one training is what all images of a repeat share. From n patients or repeats, n - 1 are drawn: then a
    resampled mean varies by s²/n, as it should; n draws would give (n - 1)/n of it, half at two repeats.
    A single repeat or patient is kept as it is and adds no spread; where both are single there is nothing to draw
    from, and all means are NaN: their interval would have no width.
    """
    if len(cell.scores) == cell.patients.max() + 1 == 1:
        return np.full(resamples, np.nan)
    images = np.bincount(cell.patients).astype(np.float64)  # (P,)
    sums = np.zeros((len(cell.scores), len(images)))  # (R, P)
    np.add.at(sums.T, cell.patients, cell.scores.T)
    patients = _draws(len(images), stream, resamples)  # (B, P)
    repeats = _draws(len(sums), stream, resamples)  # (B, R)
    totals = np.einsum("br,br->b", repeats, patients @ sums.T)
    return cast(Matrix, totals / (repeats.sum(axis=1) * (patients @ images)))


def _draws(count: int, stream: np.random.Generator, resamples: int) -> Matrix:
    """How often each of `count` units is drawn, (resamples, count)."""
    if count == 1:
        return np.ones((resamples, 1))
    return stream.multinomial(count - 1, np.full(count, 1 / count), size=resamples).astype(np.float64)


def interval(means: Matrix, level: float = 0.95) -> Interval:
    """Central percentile interval of resampled means; NaN where these are."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def equivalence_p(means: Matrix, margin: float) -> float:
    """Two one-sided tests against ±margin from resampled means: the larger of the two tail shares."""
    tails = max((means <= -margin).sum(), (means >= margin).sum())
    return float((1 + tails) / (1 + len(means)))


def sign_flip_p(values: Matrix, blocks: NDArray[np.int64], stream: np.random.Generator) -> float:
    """Two-sided sign-flip test that the mean of `values` (I,) is 0; signs flip by block (patient).

    All patterns up to `EXACT_BLOCKS` blocks, else `FLIPS` random ones with the observed one counted in.
    """
    sums = np.bincount(blocks, weights=values)
    observed = abs(sums.sum())
    near = 1e-12 * max(1.0, np.abs(sums).sum())  # equal sums differ in their last bits
    if len(sums) <= EXACT_BLOCKS:
        bits = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))
        return float((np.abs((1 - 2 * (bits & 1)) @ sums) >= observed - near).mean())
    signs = 1 - 2 * stream.integers(0, 2, size=(FLIPS, len(sums)), dtype=np.int8)
    return float((1 + (np.abs(signs @ sums) >= observed - near).sum()) / (1 + FLIPS))


def least_p(count: int) -> float:
    """The least two-sided p that a sign-flip or signed-rank test of `count` pairs can give: 2 / 2^count."""
    return min(1.0, 2.0 ** (1 - count))
