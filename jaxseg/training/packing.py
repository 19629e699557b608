"""Parameters as several steps in one dispatch work with them: many vectors as one.

A U-Net has some sixty kernels, and a hundred and thirty vectors: the scales and biases of its normalisations. A step of
Adam on each vector by itself would take an accelerator more launches than all of its convolutions.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxseg.arrays import Tree
from jaxseg.models.unet import HEAD
from jaxseg.training.state import TrainState

VECTORS, KERNELS = "vectors", "kernels"

Kernels = dict[str, Array]  # by path, such as "encoder/stem/conv/kernel"


def pack(tree: Tree) -> Tree:
    """{"vectors": one array (n,), "kernels": kernels by path} of a tree of parameters or of moments."""
    leaves = _by_path(tree)
    vectors = [leaf for leaf in leaves.values() if leaf.ndim == 1]
    return {
        VECTORS: jnp.concatenate(vectors),
        KERNELS: {name: leaf for name, leaf in leaves.items() if leaf.ndim > 1},
    }


def unpack(packed: Tree, like: Tree) -> Tree:
    """The tree again; `like` has its structure and shapes."""
    shapes = _by_path(like)
    ends = np.cumsum([shape.size for shape in shapes.values() if shape.ndim == 1])
    vectors = iter(jnp.split(packed[VECTORS], ends[:-1]))
    leaves = [next(vectors) if shape.ndim == 1 else packed[KERNELS][name] for name, shape in shapes.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def pack_state(state: TrainState) -> TrainState:
    """A state whose parameters and moments are packed; what was the best so far is not touched by steps."""
    return _each(state, pack)


def unpack_state(state: TrainState, like: Tree) -> TrainState:
    return _each(state, functools.partial(unpack, like=like))


def rounded_kernels(packed: Tree, dtype: DTypeLike) -> Kernels:
    """Those kernels, in the compute dtype, that are not computed with as they are; the head's is, in float32."""
    return {
        name: kernel.astype(dtype)
        for name, kernel in packed[KERNELS].items()
        if kernel.dtype != dtype and not name.startswith(f"{HEAD}/")
    }


def with_kernels(packed: Tree, kernels: Kernels) -> Tree:
    return {**packed, KERNELS: {**packed[KERNELS], **kernels}}


def _by_path(tree: Tree) -> dict[str, Array]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _each(state: TrainState, change: Callable[[Tree], Tree]) -> TrainState:
    params, first, second = map(change, (state.params, state.first, state.second))
    return dataclasses.replace(state, params=params, first=first, second=second)
