"""Parameters in the numbers that a network computes with."""

from typing import Any

import jax
from jax import Array

from jaxseg.compute.device import Precision
from jaxseg.models.unet import HEAD
from jaxseg.storage.arrays import Tree


def rounded(params: Tree, precision: Precision) -> Tree:
    """Kernels in their dtype, all else in that of the maps; the head's stay as they are, float32."""

    def each(path: Any, leaf: Array) -> Array:
        if path[0].key == HEAD:
            return leaf
        return leaf.astype(precision.kernels if path[-1].key == "kernel" else precision.maps)

    return jax.tree_util.tree_map_with_path(each, params)
