"""The validation loss: a fixed grid of crops over the validation images, so that every measurement is of the same."""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np

from jaxseg.compute.device import PAUSE, one_at_a_time
from jaxseg.input.feed import Feed
from jaxseg.input.placement import Placement, upright, windows
from jaxseg.input.statistics import Statistics
from jaxseg.input.transfer import to_devices
from jaxseg.training.losses import LossSums, hard_dice, loss
from jaxseg.training.state import TrainState
from jaxseg.training.step import Steps


@dataclass(frozen=True)
class Grid:
    """Crops that cover the validation images; the last batch is filled up with crops of weight 0.

    The last window of a side that is no multiple of the crop overlaps its neighbour: pixels of both count twice.

    Attributes:
        placements: K crops, K a multiple of `batch`.
        weights: float32 (K,).
        batch: crops a batch.
    """

    placements: Placement
    weights: np.ndarray
    batch: int

    def __iter__(self) -> Iterator[tuple[Placement, np.ndarray]]:
        for start in range(0, len(self.weights), self.batch):
            rows = slice(start, start + self.batch)
            yield Placement(*(part[rows] for part in self.placements)), self.weights[rows]


def make_grid(images: np.ndarray, sizes: np.ndarray, crop: int, batch: int) -> Grid:
    """Grid over the images of these numbers; `sizes` (N, 2) are those of the whole stack."""
    which, corners = windows(sizes[images], crop, crop)
    count = -(-len(which) // batch) * batch
    rows = np.minimum(np.arange(count), len(which) - 1)
    weights = (np.arange(count) < len(which)).astype(np.float32)
    return Grid(upright(images[which[rows]], corners[rows], crop), weights, batch)


def validate(steps: Steps, state: TrainState, feed: Feed, grid: Grid, statistics: Statistics) -> tuple[float, float]:
    """Validation loss and pooled hard Dice of the current parameters."""
    parts = []
    for placement, weights in grid:
        source, placed = feed(placement)
        share = to_devices(weights, feed.batch_sharding)
        measured = steps.measure(state.params, state.stats, source, placed, share, statistics)
        parts.append(one_at_a_time(measured, PAUSE))
    columns = zip(*jax.device_get(parts), strict=True)
    total = LossSums(*(np.sum(column, axis=0, dtype=np.float64) for column in columns))  # type: ignore[arg-type]
    return float(loss(total)), float(hard_dice(total))
