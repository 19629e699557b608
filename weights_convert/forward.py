"""Our own forward passes for comparisons: float32 at the highest precision, on a fixed image."""

import functools
from collections.abc import Callable
from typing import Final

import jax
import numpy as np
from flax import nnx

from jaxseg.arrays import Tree
from jaxseg.config import ModelConfig
from jaxseg.models.resnet import ResNet
from jaxseg.models.unet import network

SIDE = 64  # pixels; stage 4 then still has 2x2 positions
RUN_ONCE: Final = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # half the compile


def image() -> np.ndarray:
    """A fixed image (1, 64, 64, 3) in [-2, 2), from integer arithmetic: the same everywhere and for ever."""
    index = np.arange(SIDE * SIDE * 3, dtype=np.uint32)
    scrambled = (index + np.uint32(1)) * np.uint32(2654435761)
    scrambled = (scrambled ^ (scrambled >> np.uint32(15))) * np.uint32(2246822519)
    return (scrambled.astype(np.float64) / 2**30 - 2).astype(np.float32).reshape(1, SIDE, SIDE, 3)


def encoder(depth: int, width: float, tree: Tree, images: np.ndarray) -> dict[str, np.ndarray]:
    """Maps `stem`, `stage1`..`stage4` of an encoder tree {"params", "stats"}."""
    with jax.default_matmul_precision("highest"):
        maps = _encoder(depth, width)(tree["params"], tree["stats"], images)
    names = ["stem", *(f"stage{number}" for number in range(1, 5))]
    return {name: np.asarray(x) for name, x in zip(names, maps, strict=True)}


def unet(config: ModelConfig, tree: Tree, images: np.ndarray) -> np.ndarray:
    """Logits of a whole U-Net."""
    with jax.default_matmul_precision("highest"):
        return np.asarray(_unet(config)(tree["params"], tree["stats"], images))


@functools.cache
def _encoder(depth: int, width: float) -> Callable[[Tree, Tree, np.ndarray], list[jax.Array]]:
    graphdef = nnx.graphdef(nnx.eval_shape(lambda: ResNet(depth, width)))

    def apply(params: Tree, stats: Tree, x: jax.Array) -> list[jax.Array]:
        return nnx.merge(graphdef, params, stats)(x, False)

    return jax.jit(apply, compiler_options=RUN_ONCE)


@functools.cache
def _unet(config: ModelConfig) -> Callable[[Tree, Tree, np.ndarray], jax.Array]:
    def apply(params: Tree, stats: Tree, x: jax.Array) -> jax.Array:
        return network(config).apply(params, stats, x, train=False)[0]

    return jax.jit(apply, compiler_options=RUN_ONCE)
