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
    return _convolved(_padded_in_parts(x, padding[1]), kernel, padding[0])


def _forward(x: Array, kernel: Array, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return _convolved(_padded(x, padding[1]), kernel, padding[0]), (x, kernel)


def _convolved(padded: Array, kernel: Array, padding: tuple[int, int]) -> Array:
    height, width, inputs, outputs = kernel.shape
    matrix = _numbers(_bits(kernel).transpose(1, 2, 0, 3).reshape(width * inputs, height * outputs))
    return _added(_product(_beside(padded, width), matrix), height, padding)


def _backward(padding: Padding, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    height, width, inputs, outputs = kernel.shape
    (top, bottom), (left, right) = padding
    down, across = (height - 1 - top, height - 1 - bottom), (width - 1 - left, width - 1 - right)
    gradients = _beside(_padded_in_parts(gradient, across), width)
    turned = _numbers(_bits(kernel)[::-1, ::-1].transpose(0, 2, 1, 3).reshape(height * inputs, width * outputs))
    of_x = _added(_product(gradients, turned, transposed=True), height, down)
    products = _product(_above(x, height, padding[0]), gradients.reshape(-1, width * outputs))
    of_kernel = products.reshape(height, inputs, width, outputs)[:, :, ::-1].transpose(0, 2, 1, 3)
    return of_x, _round(of_kernel)


convolve.defvjp(_forward, _backward)


def convolve_strided(x: Array, kernel: Array, stride: int) -> Array:
    """As `convolve`, padded by size // 2; the size is odd, the stride not larger, and divides height and width.

    A sum of convolutions at stride 1: of every so many rows and columns of `x`, with the taps that meet them.
    """
    batch, height, width, inputs = x.shape
    pixels = x.reshape(batch, height // stride, stride, width // stride, stride, inputs)
    met = [_taps_that_meet(first, len(kernel), stride) for first in range(stride)]
    parts = [
        convolve(some, _chosen(_chosen(kernel, rows, 0), columns, 1), (down, across))
        for (rows, down), of_rows in zip(met, jnp.unstack(pixels, axis=2), strict=True)
        for (columns, across), some in zip(met, jnp.unstack(of_rows, axis=3), strict=True)
    ]
    return functools.reduce(operator.add, parts)


def _taps_that_meet(first: int, size: int, stride: int) -> tuple[range, tuple[int, int]]:
    """Those of a kernel that meet every `stride`-th pixel from the first, and padding before and after these pixels."""
    reach = size // 2
    before, after = (reach + first) // stride, (reach - first) // stride
    return range(first + reach - before * stride, size, stride), (before, after)


def _chosen(kernel: Array, taps: range, axis: int) -> Array:
    """Split and joined, not sliced: so is the gradient, which XLA computes faster than a sum of padded arrays."""
    parts = jnp.split(kernel, kernel.shape[axis], axis)
    return jnp.concatenate([parts[tap] for tap in taps], axis)


def _padded(x: Array, padding: tuple[int, int]) -> Array:
    """(B, H, W, C), rounded, with 0 to its left and right."""
    return lax.pad(_bits(_round(x)), jnp.uint16(0), ((0, 0, 0), (0, 0, 0), (*padding, 0), (0, 0, 0)))


def _padded_in_parts(x: Array, padding: tuple[int, int]) -> Array:
    """The same in a loop over parts of the height, since XLA stores what a loop gives.

    A map that has no other user, as in predicting, or a gradient, it would compute anew, from the product before, for
    each of the columns that `_beside` lays side by side. Not a loop over the images, which devices share out.
    """
    batch, height, width, channels = x.shape
    parts = 2 if height % 2 == 0 else height
    rows = height // parts

    def put(part: Array, whole: Array) -> Array:
        some = lax.dynamic_slice_in_dim(x, part * rows, rows, 1)
        return lax.dynamic_update_slice_in_dim(whole, _padded(some, padding), part * rows, 1)

    return lax.fori_loop(0, parts, put, jnp.zeros((batch, height, width + sum(padding), channels), jnp.uint16))


def _beside(padded: Array, width: int) -> Array:
    """(B, H, W, C), from `_padded` -> (B, H, W', width * C): each pixel with those to its right."""
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


def _added(products: Array, height: int, padding: tuple[int, int]) -> Array:
    """(B, H, W, height * C), a map for each row of a kernel -> (B, H', W, C): the sum, each moved up by its number."""
    batch, down, across, _ = products.shape
    maps = products.reshape(batch, down, across, height, -1)
    beyond = padding[1] - (height - 1)  # rows of the result beyond those of the maps, at the bottom of the last one

    def moved(row: int) -> Array:
        rows = (padding[0] - row, beyond + row, 0)  # 0 where it has none, and without those that nobody asks for
        return lax.pad(maps[:, :, :, row], jnp.float32(0), ((0, 0, 0), rows, (0, 0, 0), (0, 0, 0)))

    return functools.reduce(operator.add, map(moved, range(height)))


def _product(first: Array, second: Array, transposed: bool = False) -> Array:
    """Product of (..., K) and (K, N), both bfloat16, or (N, K) transposed: (..., N), float32."""
    dimensions = (((1,), (1 if transposed else 0,)), ((), ()))
    rows = first.reshape(-1, first.shape[-1])
    products = lax.dot_general(rows, second, dimensions, preferred_element_type=jnp.float32)
    return products.reshape(*first.shape[:-1], -1)


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
