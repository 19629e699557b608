"""Intervals and tests of a mean over trainings and patients: what an image set and a few trainings can show.

The mean of a matrix of repeats × images varies for two reasons: other trainings, and other patients. Each alone has
Student's interval, from few units a wide one; the squares of their half-widths are summed (Banerjee, Sankhya 22, 1960).
With normal effects this covers the truth at least as often as said, whatever the sizes of the two: the probability that
χ² stays below a bound is concave in the bound, so that averaging the two bounds loses nothing. How often it does in
simulated studies, and what else was tried, stands in docs/statistics.md.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit

from jaxseg.analysis.cells import Cell

LEAST_LOG_P = -200.0  # smaller p are not told apart
ROUNDING = 1e-12  # Dice; differences of equal scores may be this large


class Interval(NamedTuple):
    low: float
    high: float


class Spread(NamedTuple):
    """A mean, and the variance of it over each kind of unit as (variance, degrees of freedom): trainings, patients.

    A kind with a single unit shows no variance and is left out.
    """

    mean: float
    sources: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, cell: Cell) -> "Spread":
        """Of the mean over the images of a cell, in which patients weigh as much as they have images."""
        images = np.bincount(cell.patients)
        of_patients = np.bincount(cell.patients, cell.of_images) / images
        kinds = (cell.of_repeats, np.ones(len(cell.repeats))), (of_patients, images)
        return cls(cell.mean, tuple(_variance_of_mean(*kind) for kind in kinds if len(kind[0]) > 1))

    @property
    def of_both(self) -> bool:
        """True where it tells of new trainings and of new patients."""
        return len(self.sources) == 2

    def half_width(self, p: float) -> float:
        """Of the interval outside of which a mean has the two-sided p-value `p` at most."""
        return math.sqrt(sum(float(stdtrit(df, p / 2)) ** 2 * variance for variance, df in self.sources))


def _variance_of_mean(values: NDArray[np.float64], weights: NDArray[np.number]) -> tuple[float, int]:
    """Of the weighted mean of independent values. How far they vary is told by the values, each counted once: around
    the weighted mean, one that has most of the weight lies near it whatever it is, and would seem to vary little.
    """
    shares = weights / weights.sum()
    return float(values.var(ddof=1) * (shares**2).sum()), len(values) - 1


def interval(spread: Spread, level: float = 0.95, limits: tuple[float, float] = (-1.0, 1.0)) -> Interval:
    """Interval of the mean within `limits`, those of a difference in Dice; NaN where nothing shows any spread.

    It holds for new trainings and new patients, or of these only for the kind of which there are several.
    """
    if not spread.sources:
        return Interval(math.nan, math.nan)
    half = spread.half_width(1 - level)
    low, high = np.clip([spread.mean - half, spread.mean + half], *limits)
    return Interval(float(low), float(high))


def p_value(spread: Spread, value: float = 0.0) -> float:
    """Two-sided p that the mean over all trainings and patients is `value`: that of the widest interval without it.
    NaN where there are not several of both.
    """
    if not spread.of_both:
        return math.nan
    distance = abs(spread.mean - value)
    if distance <= ROUNDING:
        return 1.0
    if spread.half_width(math.exp(LEAST_LOG_P)) <= distance:
        return math.exp(LEAST_LOG_P)
    return math.exp(brentq(lambda log_p: spread.half_width(math.exp(log_p)) - distance, LEAST_LOG_P, 0.0))


def equivalence_p(spread: Spread, margin: float) -> float:
    """Two one-sided tests against ±margin: the larger p of the two; NaN as `p_value`."""
    if not spread.of_both:
        return math.nan
    if abs(spread.mean) >= margin:
        return 1 - p_value(spread, math.copysign(margin, spread.mean)) / 2
    return max(p_value(spread, -margin), p_value(spread, margin)) / 2
