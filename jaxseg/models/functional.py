"""Flax modules as plain functions over dicts of arrays."""

from dataclasses import dataclass
from typing import Any

from flax import nnx
from jax import Array

from jaxseg.storage.arrays import Tree


@dataclass(frozen=True)
class Network:
    """A module split once into structure and shapes.

    `params` and `stats` (running statistics) are trees of shapes; `apply` takes trees of arrays of these shapes.
    """

    graphdef: nnx.GraphDef
    params: Tree
    stats: Tree

    def apply(self, params: Tree, stats: Tree, images: Array, *, train: bool) -> tuple[Any, Tree]:
        """What the module gives, and the running statistics after this batch (unchanged unless `train`)."""
        model = nnx.merge(self.graphdef, params, stats, copy=True)
        outputs = model(images, train)
        return outputs, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))


def split(model: nnx.Module) -> Network:
    """Structure and shapes of a module, called with (images, train)."""
    graphdef, *states = nnx.split(model, nnx.Param, nnx.BatchStat)
    params, stats = map(nnx.to_pure_dict, states)
    return Network(graphdef, params, stats)
