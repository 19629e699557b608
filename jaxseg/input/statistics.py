"""Means and standard deviations that images are normalised with; they belong to the initial weights."""

from typing import Any, NamedTuple

import numpy as np
from jax import Array

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, for random weights too


class Statistics(NamedTuple):
    """Of the colours of images in 0..1, float32 (3,) each."""

    mean: np.ndarray | Array
    std: np.ndarray | Array


def statistics_of(weights: dict[str, Any]) -> Statistics:
    """The statistics that go with the initial weights, from a run's weights.json."""
    return Statistics(np.asarray(weights["mean"], np.float32), np.asarray(weights["std"], np.float32))
