"""Convolutions and products of float32 maps with bfloat16 kernels on CPUs: factors rounded to bfloat16, sums float32.

XLA's library YNNPACK multiplies matrices of bfloat16 faster than those of float32 where the processor can (several
times with AMX), if the rows that are summed over lie contiguous in the first matrix; all else in bfloat16 XLA computes
by way of float32, number by number (jaxlib 0.10.2). So maps stay in float32, and every convolution is made one product:
each pixel, with those beside it that the kernel covers, is multiplied with all rows of the kernel at once, which gives
a map for each of these rows; they are moved and added. What is laid side by side is moved as integers, which is faster.
"""

import functools
import operator

import jax
import jax.numpy as jnp
from jax import Array, lax

Padding = tuple[tuple[int, int], tuple[int, int]]  # before and after, in height and in width

BLOCK = 128  # columns that are transposed together


@jax.custom_vjp
def dot(rows: Array, matrix: Array) -> Array:
    """Product of (P, inputs), float32, and (inputs, outputs), bfloat16: (P, outputs), float32."""
    return _product(_round(rows), matrix)


def _dot_forward(rows: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return dot(rows, matrix), (rows, matrix)


def _dot_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    rows, matrix, rounded = _round(saved[0]), saved[1], _round(gradient)
    pixels, (inputs, outputs) = len(rows), matrix.shape
    of_rows = _product(rounded, matrix, transposed=True)
    if outputs * (pixels + inputs) < inputs * pixels:  # which takes fewer numbers to transpose
        of_matrix = lax.optimization_barrier(_product(_transposed(rounded), rows)).T
    else:
        of_matrix = _product(_transposed(rows), rounded)
    return of_rows, _round(of_matrix)


dot.defvjp(_dot_forward, _dot_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Array, kernel: Array, padding: Padding) -> Array:
    """Convolution at stride 1 of (B, H, W, inputs), float32, with a kernel (height, width, inputs, outputs), bfloat16.

    Gives (B, H', W', outputs), float32.
    """
    height, width, inputs, outputs = kernel.shape
    matrix = kernel.transpose(1, 2, 0, 3).reshape(width * inputs, height * outputs)
    return _added(_beside(x, width, padding), matrix, height)


def _forward(x: Array, kernel: Array, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return convolve(x, kernel, padding), (x, kernel)


def _backward(padding: Padding, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    height, width, inputs, outputs = kernel.shape
    (top, bottom), (left, right) = padding
    inverse = ((height - 1 - top, height - 1 - bottom), (width - 1 - left, width - 1 - right))
    turned = kernel[::-1, ::-1].transpose(0, 2, 1, 3).reshape(height * inputs, width * outputs)
    of_x = _added(_beside(gradient, width, inverse), turned, height, transposed=True)
    gradients = _beside(gradient, width, ((0, 0), inverse[1])).reshape(-1, width * outputs)
    products = _product(_above(x, height, padding[0]), gradients)
    of_kernel = products.reshape(height, inputs, width, outputs)[:, :, ::-1].transpose(0, 2, 1, 3)
    return of_x, _round(of_kernel)


convolve.defvjp(_forward, _backward)


def convolve_strided(x: Array, kernel: Array, stride: int) -> Array:
    """As `convolve`, padded by size // 2 (odd); the stride divides height and width.

    As many neighbours as the stride, in height and in width, are taken for one pixel with all their channels; then the
    stride is 1, and the kernel reaches over fewer pixels, not all of whose channels it covers.
    """
    batch, height, width, inputs = x.shape
    size, reach = len(kernel), len(kernel) // 2
    before, after = -(-reach // stride), -(-(size - reach) // stride)  # blocks that reach over the kernel's pixels
    margin = (before * stride - reach, after * stride - (size - reach))
    taps = before + after
    blocks = jnp.pad(kernel, (margin, margin, (0, 0), (0, 0))).reshape(taps, stride, taps, stride, inputs, -1)
    pixels = x.reshape(batch, height // stride, stride, width // stride, stride, inputs)
    return convolve(
        pixels.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // stride, width // stride, -1),
        blocks.transpose(0, 2, 1, 3, 4, 5).reshape(taps, taps, stride * stride * inputs, -1),
        ((before, after - 1),) * 2,
    )


def _beside(x: Array, width: int, padding: Padding) -> Array:
    """(B, H, W, C), padded and rounded -> (B, H', W', width * C): each pixel with those to its right."""
    padded = lax.pad(_bits(_round(x)), jnp.uint16(0), ((0, 0, 0), (*padding[0], 0), (*padding[1], 0), (0, 0, 0)))
    batch, height, across, channels = padded.shape
    count = across - width + 1
    windows = lax.gather(
        padded.reshape(batch * height, across * channels),
        jnp.arange(count)[:, None] * channels,
        lax.GatherDimensionNumbers(offset_dims=(0, 2), collapsed_slice_dims=(), start_index_map=(1,)),
        (batch * height, width * channels),
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )
    return _numbers(windows).reshape(batch, height, count, width * channels)


def _above(x: Array, height: int, padding: tuple[int, int]) -> Array:
    """(B, H, W, C), padded and rounded -> (height * C, B * H' * W): channel by channel, each pixel and those below."""
    batch, down, across, channels = x.shape
    maps = _bits(_transposed(_round(x).reshape(-1, channels))).reshape(channels, batch, down, across)
    padded = lax.optimization_barrier(lax.pad(maps, jnp.uint16(0), ((0, 0, 0), (0, 0, 0), (*padding, 0), (0, 0, 0))))
    last = padded.shape[2] - height + 1
    rows = jnp.stack([padded[:, :, row : row + last] for row in range(height)])
    return _numbers(rows).reshape(height * channels, batch * last * across)


def _added(x: Array, matrix: Array, height: int, transposed: bool = False) -> Array:
    """Pixels with those beside them times the rows of a kernel, each row's map moved up by its number."""
    batch, down, across, _ = x.shape
    products = _product(x.reshape(-1, x.shape[-1]), matrix, transposed).reshape(batch, down, across, height, -1)
    last = down - height + 1
    return functools.reduce(operator.add, (products[:, row : row + last, :, row] for row in range(height)))


def _product(first: Array, second: Array, transposed: bool = False) -> Array:
    """Product of bfloat16, summed in float32, with the second or with its transpose."""
    dimensions = (((1,), (1 if transposed else 0,)), ((), ()))
    return lax.dot_general(first, second, dimensions, preferred_element_type=jnp.float32)


def _transposed(matrix: Array) -> Array:
    """As products with ones, which take a matrix by blocks; XLA's transpose computes it number by number."""
    parts = [matrix[:, start : start + BLOCK] for start in range(0, matrix.shape[1], BLOCK)]
    ones = [jnp.eye(part.shape[1], dtype=matrix.dtype) for part in parts]
    return _round(
        jnp.concatenate([_product(one, part, transposed=True) for one, part in zip(ones, parts, strict=True)])
    )


def _round(x: Array) -> Array:
    return x.astype(jnp.bfloat16)


def _bits(x: Array) -> Array:
    return lax.bitcast_convert_type(x, jnp.uint16)


def _numbers(bits: Array) -> Array:
    return lax.bitcast_convert_type(bits, jnp.bfloat16)
