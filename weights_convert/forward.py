"""Our own forward passes for comparisons: float32 at the highest precision, on a fixed image."""

import jax
import numpy as np
from flax import nnx

from jaxseg.arrays import Tree
from jaxseg.config import ModelConfig
from jaxseg.models.resnet import ResNet
from jaxseg.models.unet import network

SIDE = 64  # pixels; stage 4 then still has 2x2 positions


def image() -> np.ndarray:
    """A fixed image (1, 64, 64, 3) in [-2, 2), from integer arithmetic: the same everywhere and for ever."""
    index = np.arange(SIDE * SIDE * 3, dtype=np.uint32)
    scrambled = (index + np.uint32(1)) * np.uint32(2654435761)
    scrambled = (scrambled ^ (scrambled >> np.uint32(15))) * np.uint32(2246822519)
    return (scrambled.astype(np.float64) / 2**30 - 2).astype(np.float32).reshape(1, SIDE, SIDE, 3)


def encoder(depth: int, width: float, tree: Tree, images: np.ndarray) -> dict[str, np.ndarray]:
    """Maps `stem`, `stage1`..`stage4` of an encoder tree {"params", "stats"}."""
    graphdef = nnx.graphdef(nnx.eval_shape(lambda: ResNet(depth, width)))

    def apply(params: Tree, stats: Tree, x: jax.Array) -> list[jax.Array]:
        return nnx.merge(graphdef, params, stats)(x, False)

    with jax.default_matmul_precision("highest"):
        maps = jax.jit(apply)(tree["params"], tree["stats"], images)
    names = ["stem", *(f"stage{number}" for number in range(1, 5))]
    return {name: np.asarray(x) for name, x in zip(names, maps, strict=True)}


def unet(config: ModelConfig, tree: Tree, images: np.ndarray) -> np.ndarray:
    """Logits of a whole U-Net."""

    def apply(params: Tree, stats: Tree, x: jax.Array) -> jax.Array:
        return network(config).apply(params, stats, x, train=False)[0]

    with jax.default_matmul_precision("highest"):
        return np.asarray(jax.jit(apply)(tree["params"], tree["stats"], images))
