"""From the foreground classes' probabilities to foreground, and to classes."""

from typing import TypeVar

import numpy as np
from jax import Array

THRESHOLD = 0.5
Numbers = TypeVar("Numbers", np.ndarray, Array)


def likeliest(probabilities: Numbers) -> Numbers:
    """Class of each pixel (..., h, w), uint8, 0 background, from the foreground classes' probabilities (..., h, w, C).

    With one class it is foreground from probability 0.5 on; of equally likely ones the first is taken.
    """
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] >= THRESHOLD).astype(np.uint8)
    background = 1 - probabilities.sum(-1)
    return ((probabilities.argmax(-1) + 1) * (probabilities.max(-1) > background)).astype(np.uint8)


def foreground(probabilities: np.ndarray) -> np.ndarray:
    """Probability that a pixel (..., h, w) is of any of the foreground classes (..., h, w, C)."""
    return probabilities[..., 0] if probabilities.shape[-1] == 1 else np.minimum(probabilities.sum(-1), 1)
