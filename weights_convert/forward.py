"""Our own forward pass of a whole U-Net for comparisons: float32 at the highest precision."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from jaxseg.config import ModelConfig
from jaxseg.models.golden import RUN_ONCE
from jaxseg.models.unet import network
from jaxseg.storage.arrays import Tree


def unet(config: ModelConfig, tree: Tree, images: np.ndarray) -> np.ndarray:
    """Logits (B, H, W, classes) of normalised images (B, H, W, 3) by a tree {"params", "stats"}."""
    with jax.default_matmul_precision("highest"):
        return np.asarray(_unet(config)(tree["params"], tree["stats"], images))


@functools.cache
def _unet(config: ModelConfig) -> Callable[[Tree, Tree, np.ndarray], jax.Array]:
    def apply(params: Tree, stats: Tree, x: jax.Array) -> jax.Array:
        return network(config).apply(params, stats, x, train=False)[0][0]

    return jax.jit(apply, compiler_options=RUN_ONCE)
