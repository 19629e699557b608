"""Golden activations: what an encoder computes on a fixed image, kept to notice later that weights have changed."""

import functools
from collections.abc import Callable
from typing import Final

import jax
import numpy as np
from flax import nnx

from jaxseg.models.resnet import ResNet
from jaxseg.storage.arrays import Tree

SIDE = 64  # pixels; stage 4 then still has 2x2 positions
KEPT = 8  # activations of each stage
RUN_ONCE: Final = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # half the compile

Golden = dict[str, list[float]]  # stage -> largest absolute activation, then `KEPT` activations


def image() -> np.ndarray:
    """A fixed image (1, 64, 64, 3) in [-2, 2), from integer arithmetic: the same everywhere and for ever."""
    index = np.arange(SIDE * SIDE * 3, dtype=np.uint32)
    scrambled = (index + np.uint32(1)) * np.uint32(2654435761)
    scrambled = (scrambled ^ (scrambled >> np.uint32(15))) * np.uint32(2246822519)
    return (scrambled.astype(np.float64) / 2**30 - 2).astype(np.float32).reshape(1, SIDE, SIDE, 3)


def encoder(depth: int, width: float, tree: Tree, images: np.ndarray) -> dict[str, np.ndarray]:
    """Maps `stem`, `stage1`..`stage4` of an encoder tree {"params", "stats"}; float32 at the highest precision."""
    with jax.default_matmul_precision("highest"):
        maps = _encoder(depth, width)(tree["params"], tree["stats"], images)
    names = ["stem", *(f"stage{number}" for number in range(1, 5))]
    return {name: np.asarray(x) for name, x in zip(names, maps, strict=True)}


def samples(maps: dict[str, np.ndarray]) -> Golden:
    """Of each map the largest absolute value, then values spread evenly over it."""
    return {stage: [float(np.abs(x).max()), *_spread(x)] for stage, x in maps.items()}


def activations(depth: int, width: float, tree: Tree) -> Golden:
    """Golden activations of an encoder by our own arithmetic, for weights that no other framework made."""
    return samples(encoder(depth, width, tree, image()))


def _spread(x: np.ndarray) -> list[float]:
    places = np.linspace(0, x.size - 1, KEPT).round().astype(int)
    return [float(value) for value in x.reshape(-1)[places]]


@functools.cache
def _encoder(depth: int, width: float) -> Callable[[Tree, Tree, np.ndarray], list[jax.Array]]:
    graphdef = nnx.graphdef(nnx.eval_shape(lambda: ResNet(depth, width)))

    def apply(params: Tree, stats: Tree, x: jax.Array) -> list[jax.Array]:
        return nnx.merge(graphdef, params, stats)(x, False)

    return jax.jit(apply, compiler_options=RUN_ONCE if jax.default_backend() == "cpu" else None)
