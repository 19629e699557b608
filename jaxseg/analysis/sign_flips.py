"""Sign-flip tests: the patients that a difference was seen on, without any assumption of how they vary."""

import numpy as np
from numpy.typing import NDArray

from jaxseg.analysis.cells import Matrix

FLIPS = 20_000
EXACT_BLOCKS = 14  # up to 2^14 sign patterns are all enumerated


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
