"""Agreement of two masks, by pixels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Counts(NamedTuple):
    """Pixels of one class in one image."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def dice(self) -> float:
        return float(dice(self.true_positive, self.false_positive, self.false_negative))

    @property
    def jaccard(self) -> float:
        return float(jaccard(self.true_positive, self.false_positive, self.false_negative))


def dice(hit: ArrayLike, extra: ArrayLike, missed: ArrayLike) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN) of counts, element by element; 1 where there is neither truth nor prediction."""
    return _share(2 * np.asarray(hit), extra, missed)


def jaccard(hit: ArrayLike, extra: ArrayLike, missed: ArrayLike) -> NDArray[np.float64]:
    """TP / (TP + FP + FN) of counts, element by element; 1 where there is neither truth nor prediction."""
    return _share(np.asarray(hit), extra, missed)


def _share(agreed: NDArray[np.number], extra: ArrayLike, missed: ArrayLike) -> NDArray[np.float64]:
    whole = np.asarray(agreed + np.asarray(extra) + np.asarray(missed), np.float64)
    return np.divide(agreed, whole, out=np.ones_like(whole), where=whole > 0)


def count(predicted: np.ndarray, truth: np.ndarray) -> Counts:
    """Counts of two boolean masks of the same shape."""
    if predicted.shape != truth.shape:
        raise ValueError(f"masks of different shapes: {predicted.shape} and {truth.shape}")
    both, either = int((predicted & truth).sum()), int((predicted | truth).sum())
    return Counts(both, int(predicted.sum()) - both, int(truth.sum()) - both, truth.size - either)
