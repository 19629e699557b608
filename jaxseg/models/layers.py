"""Convolution, batch normalisation, pooling and upsampling with PyTorch's semantics, NHWC.

They are written the way that XLA compiles well on CPUs and GPUs: 1x1 convolutions as dots, max-pooling as strided
slices, nearest upsampling as a broadcast. Parameters and statistics are float32; activations have the compute dtype.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax
from jax.typing import DTypeLike

MOMENTUM = 0.1  # weight of the new batch in the running statistics, PyTorch's convention
EPSILON = 1e-5


class Conv(nnx.Module):
    """Convolution without bias, padded symmetrically by size // 2 (which `SAME` is not when strided).

    `kernel` is (size, size, inputs, outputs).
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        self.kernel = nnx.Param(jnp.zeros((size, size, inputs, outputs)))
        self.size, self.stride = size, stride

    def __call__(self, x: Array) -> Array:
        kernel = self.kernel[...].astype(x.dtype)
        if self.size == 1:
            return x[:, :: self.stride, :: self.stride] @ kernel[0, 0]
        pad = self.size // 2
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(self.stride, self.stride),
            padding=((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class BatchNorm(nnx.Module):
    """Batch normalisation over N, H, W; under `jit` the batch is global, whatever the number of devices.

    Normalises with the biased batch variance and keeps the unbiased one in the running statistics, like PyTorch.
    """

    def __init__(self, channels: int) -> None:
        self.scale = nnx.Param(jnp.zeros(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.zeros(channels))

    def __call__(self, x: Array, train: bool) -> Array:
        mean, var = self._update(x) if train else (self.mean[...], self.var[...])
        factor = lax.rsqrt(var + EPSILON) * self.scale[...]
        return (x.astype(factor.dtype) * factor + (self.bias[...] - mean * factor)).astype(x.dtype)

    def _update(self, x: Array) -> tuple[Array, Array]:
        wide = x.astype(self.mean[...].dtype)
        mean = wide.mean((0, 1, 2))
        var = jnp.square(wide - mean).mean((0, 1, 2))
        count = x.size // x.shape[-1]
        unbiased = var * (count / max(count - 1, 1))
        self.mean[...] = (1 - MOMENTUM) * self.mean[...] + MOMENTUM * lax.stop_gradient(mean)
        self.var[...] = (1 - MOMENTUM) * self.var[...] + MOMENTUM * lax.stop_gradient(unbiased)
        return mean, var


def max_pool(x: Array) -> Array:
    """3x3 max-pooling at stride 2, padded by 1; the gradient goes to the first maximum, as in PyTorch.

    Height and width must be even.
    """
    height, width = x.shape[1] // 2, x.shape[2] // 2
    lowest = jnp.array(-jnp.inf, x.dtype)
    padded = lax.pad(x, lowest, ((0, 0, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)))
    windows = [padded[:, i : i + 2 * height : 2, j : j + 2 * width : 2] for i in range(3) for j in range(3)]
    best = windows[0]
    for window in windows[1:]:
        best = jnp.where(window > best, window, best)
    return best


def upsample(x: Array) -> Array:
    """Nearest-neighbour upsampling by 2 in height and width."""
    batch, height, width, channels = x.shape
    tall = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return tall.reshape(batch, 2 * height, 2 * width, channels)


relu = jax.nn.relu


def as_dtype(name: str) -> DTypeLike:
    """The compute dtype of a recipe; "auto" looks at the default device."""
    if name == "auto":
        return jnp.bfloat16 if jax.default_backend() == "gpu" else jnp.float32
    return jnp.dtype(name)
