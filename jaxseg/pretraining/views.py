"""Two views of each image: where they lie. Both plans show the same images in the same order."""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from jaxseg import seeds
from jaxseg.input.placement import Placement
from jaxseg.input.plan import CropPlan
from jaxseg.pretraining.config import PretrainConfig

Pair = tuple[Placement, Placement]


def pairs(config: PretrainConfig, sizes: np.ndarray, position: int = 0) -> Iterator[Pair]:
    """Endless pairs of placements from batch `position` on; every pair is a function of (seed, position).

    Args:
        config: crop, batch, zoom, distance of the views, seed.
        sizes: int (N, 2), heights and widths of the stack's images, pixels.
    """
    numbers = np.arange(len(sizes))
    plans = [
        CropPlan(numbers, sizes, config.batch, config.crop, True, config.stream, view=("view", number))
        for number in (0, 1)
    ]
    streams = (plan.iterate(position) for plan in plans)
    for place, first, second in zip(itertools.count(position), *streams, strict=False):
        near = _pulled(first, second, sizes, config)
        yield _magnified(first, config, 0, place), _magnified(near, config, 1, place)


def _pulled(first: Placement, second: Placement, sizes: np.ndarray, config: PretrainConfig) -> Placement:
    """The second views moved towards the first until no pair can lie further apart than allowed.

    In a large image two random places seldom show the same tissue, and telling images apart by their stain would do.
    """
    room = np.maximum(sizes[first.image] - config.crop, 1)
    share = np.minimum(1, config.apart * config.crop / room).astype(np.float32)
    return second._replace(centre=first.centre + share * (second.centre - first.centre))


def _magnified(placement: Placement, config: PretrainConfig, view: int, position: int) -> Placement:
    draw = seeds.generator("zoom", *config.stream, view, position)
    factor = np.exp(draw.uniform(0, math.log(config.zoom), len(placement.image))).astype(np.float32)
    return placement._replace(matrix=placement.matrix / factor[:, None, None])
