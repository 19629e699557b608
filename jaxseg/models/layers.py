"""Convolution, batch normalisation, pooling and upsampling with PyTorch's semantics, NHWC.

They are written the way that XLA compiles well on CPUs and GPUs: 1x1 convolutions as dots, max-pooling as strided
slices, nearest upsampling as a broadcast. Parameters and statistics are float32; activations have the compute dtype.
"""

import math
import operator

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax

from jaxseg.compute.device import on_cpu
from jaxseg.models.convolution import convolve, in_dtype_of

MOMENTUM = 0.1  # weight of the new batch in the running statistics, PyTorch's convention
EPSILON = 1e-5


class Conv(nnx.Module):
    """Convolution without bias, padded symmetrically by size // 2 (which `SAME` is not when strided).

    `kernel` is (size, size, inputs, outputs).
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        self.kernel = nnx.Param(jnp.zeros((size, size, inputs, outputs)))
        self.stride = stride

    def __call__(self, x: Array) -> Array:
        return convolve(x, in_dtype_of(x, self.kernel[...]), self.stride)


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
        scale, bias = self.scale[...], self.bias[...]
        if not train:
            factor = lax.rsqrt(self.var[...] + EPSILON) * scale
            return _affine(x, factor, bias - self.mean[...] * factor)
        estimate = _mean_of_some(x) if x.dtype == scale.dtype else jnp.zeros_like(scale)
        normalised, mean, var = _traced_once(x, scale, bias, estimate)
        count = x.size // x.shape[-1]
        self._update(mean, var * (count / max(count - 1, 1)))
        return normalised

    def _update(self, mean: Array, var: Array) -> None:
        for running, new in ((self.mean, mean), (self.var, var)):
            running.set_value((1 - MOMENTUM) * running[...] + MOMENTUM * new)


def _affine(x: Array, factor: Array, offset: Array) -> Array:
    return (x.astype(factor.dtype) * factor + offset).astype(x.dtype)


def _mean_of_some(x: Array) -> Array:
    """Mean (C,) of about 8 x 8 pixels of the first image, spread evenly over it."""
    down, along = (max(1, side // 8) for side in x.shape[1:3])
    return x[0, ::down, ::along].mean((0, 1))


@jax.custom_vjp
def _normalise(x: Array, scale: Array, bias: Array, estimate: Array) -> tuple[Array, Array, Array]:
    """Normalised `x`, with the batch's mean and biased variance (C,), which pass no gradient on.

    Both are summed in one reading of `x`, as deviations from an estimate of the mean, which loses no more digits than
    reading twice; where `x` has fewer digits than the sums there is nothing to lose, and 0 will do.
    The gradient is written out because the one that JAX derives reads `x` more often.
    """
    return _normalise_forward(x, scale, bias, estimate)[0]


Saved = tuple[Array, Array, Array, Array]


def _normalise_forward(
    x: Array, scale: Array, bias: Array, estimate: Array
) -> tuple[tuple[Array, Array, Array], Saved]:
    deviation = x.astype(scale.dtype) - estimate
    count = x.size // x.shape[-1]
    first, second = (total / count for total in _sums(deviation, jnp.square(deviation)))
    mean, var = estimate + first, jnp.maximum(second - jnp.square(first), 0)
    inverse = lax.rsqrt(var + EPSILON)
    factor = inverse * scale
    return (_affine(x, factor, bias - mean * factor), mean, var), (x, scale, mean, inverse)


def _normalise_backward(saved: Saved, gradients: tuple[Array, Array, Array]) -> tuple[Array, Array, Array, None]:
    x, scale, mean, inverse = saved
    deviation, gradient = x.astype(mean.dtype) - mean, gradients[0].astype(mean.dtype)
    count = x.size // x.shape[-1]
    of_bias, with_deviation = _sums(gradient, gradient * deviation)
    of_scale = with_deviation * inverse
    slope = -scale * jnp.square(inverse) * of_scale / count
    of_x = scale * inverse * (gradient - of_bias / count) + slope * deviation
    return of_x.astype(x.dtype), of_scale, of_bias, None


_normalise.defvjp(_normalise_forward, _normalise_backward)
_traced_once = jax.jit(_normalise)  # for each shape; the compiler inlines it


def _sums(one: Array, other: Array) -> tuple[Array, Array]:
    """Sums over all axes of (B, H, W, C) but the last, (C,) each.

    On CPUs one by one, as XLA's library for sums takes them. Elsewhere as one reduction of pairs, which reads what both
    are made of once, and in two stages of about equally many terms: XLA does so too, but not with up to 4,096 terms,
    which it leaves to as few blocks of threads as the channels fill.
    """
    if on_cpu():
        return one.sum((0, 1, 2)), other.sum((0, 1, 2))
    batch, height, width, channels = one.shape
    pixels, zero = height * width, jnp.zeros((), one.dtype)
    some = math.gcd(pixels, 2 ** math.isqrt(batch * pixels).bit_length() // 2)
    parts = tuple(x.reshape(batch, pixels // some, some, channels) for x in (one, other))

    def summed(parts: tuple[Array, ...], *axes: int) -> tuple[Array, ...]:
        return tuple(lax.reduce(parts, (zero, zero), lambda sums, pair: tuple(map(operator.add, sums, pair)), axes))

    first, second = summed(summed(parts, 2), 0, 1)
    return first, second


TAPS = [(down, along) for down in range(3) for along in range(3)]  # of a window of the max-pool


@jax.custom_vjp
def _max_pool(x: Array) -> Array:
    """As `max_pool`. For the gradient it keeps which of nine pixels was taken, a byte, rather than a mask for each."""
    return _max_pool_forward(x)[0]


def _max_pool_forward(x: Array) -> tuple[Array, Array]:
    height, width = x.shape[1] // 2, x.shape[2] // 2
    lowest = jnp.array(-jnp.inf, x.dtype)
    padded = lax.pad(x, lowest, ((0, 0, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)))
    windows = [padded[:, down : down + 2 * height : 2, along : along + 2 * width : 2] for down, along in TAPS]
    best, taken = windows[0], jnp.zeros(windows[0].shape, jnp.int8)
    for number, window in enumerate(windows[1:], start=1):
        better = window > best
        best, taken = jnp.where(better, window, best), jnp.where(better, jnp.int8(number), taken)
    return best, taken


def _max_pool_backward(taken: Array, gradient: Array) -> tuple[Array]:
    """What each pixel gets as the pixel `tap` of a window, summed over the nine taps."""
    zero = jnp.zeros((), gradient.dtype)

    def spread(number: int, down: int, along: int) -> Array:
        places = ((0, 0, 0), (down - 1, 2 - down, 1), (along - 1, 2 - along, 1), (0, 0, 0))
        return lax.pad(jnp.where(taken == number, gradient, zero), zero, places)

    first, *others = (spread(number, *tap) for number, tap in enumerate(TAPS))
    return (sum(others, start=first),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


@jax.jit
def max_pool(x: Array) -> Array:
    """3x3 max-pooling at stride 2, padded by 1; the gradient goes to the first maximum, as in PyTorch.

    Height and width must be even.
    """
    return _max_pool(x)


def relu(x: Array) -> Array:
    """`max(x, 0)`.

    On CPUs as a choice, because of XLA's rule: what is made of one large array is computed anew for each of its users,
    a maximum and with it everything before it; a choice is made of two, and is stored once. On GPUs as a maximum, which
    XLA knows how to make a part of cuDNN's convolutions.
    """
    if not on_cpu():
        return jax.nn.relu(x)
    return jnp.where(x <= 0, jnp.zeros((), x.dtype), x)
