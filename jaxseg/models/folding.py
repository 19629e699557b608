"""A network for inference alone: every batch normalisation is folded into the convolution before it."""

import functools
from collections.abc import Iterator

import jax.numpy as jnp
from flax import nnx
from jax import Array, lax

from jaxseg.config import ModelConfig
from jaxseg.models.functional import Network, split
from jaxseg.models.layers import EPSILON, BatchNorm
from jaxseg.models.unet import UNet
from jaxseg.storage.arrays import Tree

CONV, NORM = "conv", "bn"  # `bn1` follows `conv1`, `downsample_bn` follows `downsample_conv`


class Offset(nnx.Module):
    """What is left of a batch normalisation whose factor lies in the kernel before it."""

    def __init__(self, channels: int) -> None:
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Array, train: bool) -> Array:
        return x + self.bias[...].astype(x.dtype)


@functools.cache
def folded_network(config: ModelConfig) -> Network:
    """The network whose parameters `fold` gives; it has no statistics and cannot be trained."""

    def build() -> UNet:
        model = UNet(config)
        for module, name, norm in list(_norms(model)):
            setattr(module, name, Offset(norm.scale[...].size))
        return model

    return split(nnx.eval_shape(build))


def fold(params: Tree, stats: Tree) -> Tree:
    """Parameters of the folded network from those of a trained one."""
    result = {
        name: fold(child, stats.get(name, {})) if isinstance(child, dict) else child for name, child in params.items()
    }
    for name, norm in params.items():
        if isinstance(norm, dict) and "scale" in norm:
            conv, of_norm = name.replace(NORM, CONV), stats[name]
            factor = lax.rsqrt(of_norm["var"] + EPSILON) * norm["scale"]
            result[conv] = {"kernel": params[conv]["kernel"] * factor}
            result[name] = {"bias": norm["bias"] - of_norm["mean"] * factor}
    return result


def folded(params: Tree) -> Tree:
    """A tree of the structure of what `fold` gives of such parameters; its leaves mean nothing."""
    return {
        name: folded(child) if isinstance(child, dict) else child for name, child in params.items() if name != "scale"
    }


def _norms(model: nnx.Module) -> Iterator[tuple[nnx.Module, str, BatchNorm]]:
    for _, module in nnx.iter_modules(model):
        for name, child in vars(module).items():
            if isinstance(child, BatchNorm):
                yield module, name, child
