"""Encoder and projector: images to the features that the loss compares."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxseg import seeds
from jaxseg.models.architecture import stage_channels
from jaxseg.models.encoder_weights import EncoderWeights
from jaxseg.models.functional import Network, split
from jaxseg.models.initial import fresh_statistics, initial
from jaxseg.models.layers import BatchNorm, Conv, relu
from jaxseg.models.resnet import ResNet
from jaxseg.pretraining.config import PretrainConfig
from jaxseg.storage.arrays import Tree

PROJECTOR = "projector"
LAYERS = 3


class Projector(nnx.Module):
    """Three linear layers; batch normalisation and ReLU between them. (B, 1, 1, C) -> (B, 1, 1, D)."""

    def __init__(self, inputs: int, width: int) -> None:
        for number in range(1, LAYERS + 1):
            setattr(self, f"linear{number}", Conv(inputs if number == 1 else width, width, 1))
            if number < LAYERS:
                setattr(self, f"bn{number}", BatchNorm(width))

    def __call__(self, x: Array, train: bool) -> Array:
        for number in range(1, LAYERS):
            x = relu(getattr(self, f"bn{number}")(getattr(self, f"linear{number}")(x), train))
        return getattr(self, f"linear{LAYERS}")(x)


class TwinsModel(nnx.Module):
    """Images (B, H, W, 3), normalised -> features (B, D) float32; only the encoder computes in the images' dtype."""

    def __init__(self, config: PretrainConfig) -> None:
        self.encoder = ResNet(config.depth, config.width)
        self.projector = Projector(stage_channels(config.depth, config.width)[-1], config.projector)

    def __call__(self, images: Array, train: bool) -> Array:
        deepest = self.encoder(images, train)[-1].astype(jnp.float32)
        return self.projector(deepest.mean((1, 2), keepdims=True), train)[:, 0, 0]


@functools.cache
def twins_network(config: PretrainConfig) -> Network:
    """The network of a configuration, whose `apply` gives features (B, D); shapes only, no device memory."""
    return split(nnx.eval_shape(lambda: TwinsModel(config)))


def initial_values(config: PretrainConfig, start: EncoderWeights | None) -> tuple[Tree, Tree]:
    """Parameters and running statistics before the first step, float32 NumPy; the encoder's as for a U-Net."""
    params, stats = initial(config.model, start, config.stream)
    shapes = twins_network(config)
    projector = jax.tree_util.tree_map_with_path(functools.partial(_draw, config), shapes.params[PROJECTOR])
    running = jax.tree_util.tree_map_with_path(fresh_statistics, shapes.stats[PROJECTOR])
    return (
        {"encoder": params["encoder"], PROJECTOR: projector},
        {"encoder": stats["encoder"], PROJECTOR: running},
    )


def _draw(config: PretrainConfig, path: Any, leaf: Any) -> np.ndarray:
    """PyTorch's linear layer: uniform within 1 / sqrt(inputs). Scales 1, biases 0."""
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    if not name.endswith("kernel"):
        return np.full(leaf.shape, float(name.endswith("scale")), np.float32)
    limit = 1 / math.sqrt(leaf.shape[-2])
    return seeds.generator(PROJECTOR, *config.stream, name).uniform(-limit, limit, leaf.shape).astype(np.float32)
