"""Initial values of a U-Net: drawn with NumPy from named streams, or taken from converted weights."""

import math
from typing import Any

import jax
import numpy as np

from jaxseg import seeds
from jaxseg.config import ModelConfig
from jaxseg.models.encoder_weights import EncoderWeights
from jaxseg.models.unet import network
from jaxseg.storage.arrays import Tree


def initial(config: ModelConfig, encoder: EncoderWeights | None, stream: tuple[object, ...]) -> tuple[Tree, Tree]:
    """Parameters and running statistics of a new model, float32 NumPy.

    Args:
        config: architecture.
        encoder: converted weights, or None for a random encoder.
        stream: names of the random stream, such as (dataset, repeat). Every tensor has a stream of its own, so the
            decoder is the same whatever the encoder starts from.
    """
    shapes = network(config)
    drawn = [name for name in shapes.params if encoder is None or name != "encoder"]
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: _draw(path, leaf.shape, stream), {name: shapes.params[name] for name in drawn}
    )
    stats = jax.tree_util.tree_map_with_path(fresh_statistics, shapes.stats)
    if encoder is not None:
        params["encoder"] = jax.tree.map(np.copy, encoder.params)
        stats["encoder"] = jax.tree.map(np.copy, encoder.stats)
    return params, stats


def fresh_statistics(path: Any, leaf: Any) -> np.ndarray:
    """Running statistics before the first batch, float32: variances 1, means 0."""
    return (np.ones if path[-1].key == "var" else np.zeros)(leaf.shape, np.float32)


def _draw(path: Any, shape: tuple[int, ...], stream: tuple[object, ...]) -> np.ndarray:
    """Encoder: Kaiming normal, fan-out (torchvision's ResNet). Decoder: Kaiming uniform, fan-in; head: Xavier
    uniform (the common PyTorch U-Net). Scales 1, biases 0."""
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    if not name.endswith("kernel"):
        return np.full(shape, float(name.endswith("scale")), np.float32)
    draw = seeds.generator("initial weights", *stream, name)
    area = shape[0] * shape[1]
    fan_in, fan_out = area * shape[2], area * shape[3]
    if name.startswith("encoder/"):
        return (draw.standard_normal(shape) * math.sqrt(2 / fan_out)).astype(np.float32)
    limit = math.sqrt(6 / (fan_in + fan_out)) if name.startswith("head/") else math.sqrt(6 / fan_in)
    return draw.uniform(-limit, limit, shape).astype(np.float32)
