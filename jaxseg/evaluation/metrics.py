"""Agreement of two masks, by pixels."""

from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
    """Pixels of one class in one image."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 where there is neither truth nor prediction."""
        total = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / total if total else 1.0

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN); 1 where there is neither truth nor prediction."""
        union = self.true_positive + self.false_positive + self.false_negative
        return self.true_positive / union if union else 1.0


def count(predicted: np.ndarray, truth: np.ndarray) -> Counts:
    """Counts of two boolean masks of the same shape."""
    if predicted.shape != truth.shape:
        raise ValueError(f"masks of different shapes: {predicted.shape} and {truth.shape}")
    both, either = int((predicted & truth).sum()), int((predicted | truth).sum())
    return Counts(both, int(predicted.sum()) - both, int(truth.sum()) - both, truth.size - either)
