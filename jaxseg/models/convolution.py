"""Convolutions without bias, NHWC and HWIO, in the form that XLA runs fastest on the device at hand.

On GPUs cuDNN does well with all of them as they are. On CPUs XLA calls Eigen, which does well with convolutions over
many channels and with products of matrices, and badly with some of the rest; `on_cpu` marks what is written twice.

    where   kernel, stride              computed as
    GPU     1x1, 1                      a product of matrices
    GPU     any other                   it is, by cuDNN
    CPU     1x1, any                    a product of matrices, of every second pixel at stride 2 (`_dot_on_cpu`)
    CPU     of an upsampled map         four 2x2 convolutions of the map itself (`convolve_upsampled`)
    CPU     to one output, 1            a product of matrices for all taps, moved and added (`_convolve_to_one`)
    CPU     few outputs, or the stem    several pixels side by side as outputs (`_convolve_side_by_side`)
    CPU     any other                   it is, by Eigen or YNNPACK (`_convolve_on_all_cores`)
    CPU     3x3 in bfloat16             products of rounded maps (`jaxseg.models.bfloat16`)

The gradient of a kernel is a convolution of our own at stride 1 on CPUs (`_kernel_gradient`), and JAX's elsewhere.

A product of a matrix with every second pixel must not be written for GPUs: XLA's compiler ends the process there, while
it fuses the slice with the product ("Check failed: subdim_size_accumulator == dim_size", jaxlib 0.10.2 and 0.11.2).
"""

import functools
import math
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxseg.compute.device import convolves_by_library, leaves_cores_idle, on_cpu
from jaxseg.models import bfloat16
from jaxseg.models.bfloat16 import Padding

FEW = 4  # inputs, of the stem


@functools.partial(jax.jit, static_argnames="stride")  # traced once for each shape; the compiler inlines it
def convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Convolution padded symmetrically by size // 2, which `SAME` is not when strided.

    Args:
        x: (B, H, W, inputs).
        kernel: (size, size, inputs, outputs), of the same dtype, size odd; on CPUs also bfloat16, for a float32 `x`
            whose products are to be rounded: see `jaxseg.models.bfloat16`.
    """
    size = kernel.shape[0]
    if size == 1 and (stride == 1 or on_cpu()):
        return _dot(x[:, ::stride, ::stride], kernel[0, 0])
    padding = ((size // 2, size // 2),) * 2
    if stride == 1 and on_cpu():
        return _convolve_at_stride_1(x, kernel, padding)
    if kernel.dtype != x.dtype and x.shape[-1] > FEW and all(side % stride == 0 for side in x.shape[1:3]):
        return bfloat16.convolve_strided(x, kernel, stride)
    if on_cpu() and x.shape[-1] <= FEW:
        return _convolve_side_by_side(x, kernel.astype(x.dtype), padding, stride)
    return _convolve(x, kernel.astype(x.dtype), padding, (stride, stride))


@jax.jit
def convolve_upsampled(x: Array, kernel: Array) -> Array:
    """3x3 convolution of `x` (B, H, W, inputs) upsampled by 2 to the nearest: (B, 2 H, 2 W, outputs).

    On CPUs the upsampled map is never made. Of the three rows that a pixel of the result sees, two are the same row
    of `x`; so every one of the four pixels that replace a pixel of `x` is a 2x2 convolution of `x`, with kernels that
    hold sums of the 3x3 kernel's rows and columns: 16 products a pixel of `x` in place of 36.
    """
    if not on_cpu():
        return convolve(upsample(x), kernel)
    batch, height, width, _ = x.shape
    rows = []
    for down, of_rows in enumerate(_folded(kernel.astype(x.dtype), 0)):
        pixels = [
            _convolve_at_stride_1(x, folded.astype(kernel.dtype), ((1 - down, down), (1 - along, along)))
            for along, folded in enumerate(_folded(of_rows, 1))
        ]
        rows.append(jnp.stack(pixels, 3))
    return jnp.stack(rows, 2).reshape(batch, 2 * height, 2 * width, -1)


def in_dtype_of(x: Array, kernel: Array) -> Array:
    """The kernel as `x` is convolved with it: rounded as `x` is, unless it has been rounded before."""
    return kernel if kernel.dtype == jnp.bfloat16 else kernel.astype(x.dtype)


def of_inputs(kernel: Array, count: int) -> tuple[Array, Array]:
    """The parts of a kernel (size, size, inputs, outputs) that meet the first `count` inputs and the others.

    The gradient of a split is a concatenation; that of slices is a sum of padded arrays, which XLA joins with Adam on
    GPUs, and on CPUs makes one by one.
    """
    if on_cpu():
        first, others = jnp.split(kernel, [count], axis=2)
        return first, others
    return kernel[:, :, :count], kernel[:, :, count:]


def upsample(x: Array) -> Array:
    """Nearest-neighbour upsampling by 2 in height and width; a broadcast, whose gradient is a plain sum."""
    batch, height, width, channels = x.shape
    tall = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return tall.reshape(batch, 2 * height, 2 * width, channels)


def _dot(x: Array, matrix: Array) -> Array:
    """`x @ matrix` over the last axis. As a dot of matrices, since XLA transposes the gradient of larger ones."""
    rows = x.reshape(-1, x.shape[-1])
    if matrix.dtype != x.dtype:
        product = bfloat16.dot(rows, matrix)
    else:
        product = _dot_on_cpu(rows, matrix) if on_cpu() else rows @ matrix
    return product.reshape(*x.shape[:-1], matrix.shape[-1])


@jax.custom_vjp
def _dot_on_cpu(rows: Array, matrix: Array) -> Array:
    """Product of (P, inputs) and (inputs, outputs), whose gradients have their operands in the order that Eigen likes.

    XLA would have it multiply with a transposed matrix, which takes up to three times as long where the matrix is
    large, and would make the matrix' gradient as (inputs, outputs) also where (outputs, inputs) takes half as long.
    It undoes a transpose that it can see through; hence the barriers.
    """
    return rows @ matrix


def _dot_forward(rows: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return rows @ matrix, (rows, matrix)


def _dot_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    rows, matrix = saved
    pixels, (inputs, outputs) = len(rows), matrix.shape
    transposed = matrix.T if pixels >= inputs else lax.optimization_barrier(matrix.T)
    if 2 * outputs <= inputs <= pixels:
        return gradient @ transposed, lax.optimization_barrier(gradient.T @ rows).T
    return gradient @ transposed, rows.T @ gradient


_dot_on_cpu.defvjp(_dot_forward, _dot_backward)


def _convolve(x: Array, kernel: Array, padding: Padding, strides: tuple[int, int], layout: str = "HWIO") -> Array:
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", layout, "NHWC"))


def _convolve_on_all_cores(
    x: Array, kernel: Array, padding: Padding, strides: tuple[int, int], layout: str = "HWIO"
) -> Array:
    """The same at stride 1 along the height, in a program of which YNNPACK computes the convolutions.

    By Eigen where YNNPACK would leave cores idle: XLA does not leave it a convolution that gives more rows than it
    gets ("Skip if output or filter is larger than input", xla/backends/cpu/ynn_support.cc). So a row is computed that
    nobody asked for.
    """
    if not leaves_cores_idle(kernel.shape[layout.index("O")]):
        return _convolve(x, kernel, padding, strides, layout)
    (top, bottom), along = padding
    rows = x.shape[1] + top + bottom - kernel.shape[0] + 1
    return _convolve(x, kernel, ((top, bottom + x.shape[1] + 1 - rows), along), strides, layout)[:, :rows]


def _folded(kernel: Array, axis: int) -> tuple[Array, Array]:
    """Kernels of two taps that do on a map what one of three does on the upsampled map, for even and odd pixels."""
    first, middle, last = jnp.split(kernel, 3, axis)  # and not slices: see `of_inputs`
    return (
        jnp.concatenate([first, middle + last], axis),
        jnp.concatenate([first + middle, last], axis),
    )


def _convolve_at_stride_1(x: Array, kernel: Array, padding: Padding) -> Array:
    return (_convolve_on_cpu if kernel.dtype == x.dtype else bfloat16.convolve)(x, kernel, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_on_cpu(x: Array, kernel: Array, padding: Padding) -> Array:
    """Convolution at stride 1 with a kernel's gradient of our own: XLA's takes up to three times as long."""
    return _convolve_to_one(x, kernel, padding) if kernel.shape[-1] == 1 else _convolve_side_by_side(x, kernel, padding)


def _forward(x: Array, kernel: Array, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    if kernel.shape[-1] == 1:
        return _convolve_to_one(x, kernel, padding), (x, kernel)
    return _convolve_side_by_side(x, kernel, padding, convolution=_convolve_on_all_cores), (x, kernel)


def _convolve_to_one(x: Array, kernel: Array, padding: Padding) -> Array:
    """For one output a product of matrices for all taps at once, moved and added: a third of the time."""
    height, width, inputs, _ = kernel.shape
    products = _dot(x, kernel[..., 0].transpose(2, 0, 1).reshape(inputs, -1))
    padded = jnp.pad(products, ((0, 0), *padding, (0, 0)))
    down, along = padded.shape[1] - height + 1, padded.shape[2] - width + 1
    places = [(top, left) for top in range(height) for left in range(width)]
    moved = [padded[:, top : top + down, left : left + along, tap] for tap, (top, left) in enumerate(places)]
    return functools.reduce(operator.add, moved)[..., None]


def _convolve_side_by_side(
    x: Array, kernel: Array, padding: Padding, stride: int = 1, convolution: Callable[..., Array] = _convolve
) -> Array:
    """As one at a larger stride along the width that gives, as channels, all pixels which lie side by side within it.

    Eigen reaches a fifth of its speed with 8 outputs and a half with 16; a kernel that is moved for each of the pixels
    has as many more outputs, at the price of products with the zeros around it.
    """
    _, width, inputs, outputs = kernel.shape
    across = (x.shape[2] + sum(padding[1]) - width) // stride + 1
    count = math.gcd(across, _together(inputs, outputs))
    places = [(place * stride, (count - 1 - place) * stride) for place in range(count)]
    moved = [jnp.pad(kernel, ((0, 0), place, (0, 0), (0, 0))) for place in places]
    maps = convolution(x, jnp.concatenate(moved, -1), padding, (stride, stride * count))
    return maps.reshape(*maps.shape[:2], across, outputs)


def _together(inputs: int, outputs: int) -> int:
    """For how many pixels side by side Eigen was fastest, with kernels of 2, 3 and 7 pixels and up to 64 inputs.

    YNNPACK took four times as long for the stem where that gave 32 outputs rather than 64.
    """
    if inputs <= FEW and convolves_by_library():
        return max(2, min(8, 64 // outputs))
    if inputs <= FEW:
        return 4 if outputs <= 16 else 2
    if outputs <= 12 and inputs <= 32:
        return 4
    return 2 if outputs <= 8 or (outputs <= 24 and inputs <= 16) else 1


def _backward(padding: Padding, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    if kernel.shape[-1] == 1:
        return _gradients_of_one(x, kernel, gradient, padding)
    return _input_gradient(kernel, gradient, padding), _kernel_gradient(x, gradient, kernel.shape[:2], padding)


_convolve_on_cpu.defvjp(_forward, _backward)


def _gradients_of_one(x: Array, kernel: Array, gradient: Array, padding: Padding) -> tuple[Array, Array]:
    """Of `x` and of the kernel, as two products with the gradient's one map, moved to where each tap had it."""
    height, width, inputs, _ = kernel.shape
    margins = [
        (size - 1 - before, size - 1 - after) for size, (before, after) in zip((height, width), padding, strict=True)
    ]
    padded = jnp.pad(gradient[..., 0], ((0, 0), *margins))
    places = [(top, left) for top in reversed(range(height)) for left in reversed(range(width))]
    moved = [padded[:, top : top + x.shape[1], left : left + x.shape[2]] for top, left in places]
    maps = jnp.stack(moved).reshape(height * width, -1)
    of_x = maps.T @ kernel.reshape(-1, inputs)
    return of_x.reshape(x.shape), (maps @ x.reshape(-1, inputs)).reshape(kernel.shape)


def _input_gradient(kernel: Array, gradient: Array, padding: Padding) -> Array:
    """The gradient convolved with the kernel, turned by 180 degrees and its channels swapped.

    Where the kernel is the larger one, the maps are turned in its place: swapping the channels alone is a plain copy,
    and turning at once several times as slow.
    """
    height, width = kernel.shape[:2]
    (top, bottom), (left, right) = padding
    inverse = ((height - 1 - top, height - 1 - bottom), (width - 1 - left, width - 1 - right))
    convolution = _convolve_on_all_cores
    if _together(kernel.shape[3], kernel.shape[2]) > 1:
        moved = kernel[::-1, ::-1].swapaxes(2, 3)
        return _convolve_side_by_side(gradient, moved, inverse, convolution=convolution)
    if kernel.size < gradient.size:
        return convolution(gradient, kernel[::-1, ::-1], inverse, (1, 1), "HWOI")
    (above, below), (before, after) = inverse
    maps = convolution(gradient[:, ::-1, ::-1], kernel, ((below, above), (after, before)), (1, 1), "HWOI")
    return maps[:, ::-1, ::-1]


def _kernel_gradient(x: Array, gradient: Array, size: tuple[int, ...], padding: Padding) -> Array:
    """Sum over images and pixels of x, shifted, times the gradient: (*size, inputs, outputs).

    A convolution along the height whose "channels" are the images and columns, so that Eigen finds long rows to sum
    over; the shifts along the width are laid beside each other as outputs.
    """
    batch, height, width, inputs = x.shape
    _, above, beyond, outputs = gradient.shape
    (top, _), (left, _) = padding
    none = (0, 0, 0)
    zero = jnp.zeros((), gradient.dtype)
    shifted = [
        lax.pad(gradient, zero, (none, none, (tap - left, width - beyond - (tap - left), 0), none))
        for tap in range(size[1])
    ]
    columns = jnp.concatenate(shifted, -1).transpose(1, 0, 2, 3).reshape(above, batch * width, -1)
    channels = x.transpose(3, 1, 0, 2).reshape(inputs, height, batch * width)
    below = size[0] - 1 + above - height - top
    taps = lax.conv_general_dilated(channels, columns, (1,), ((top, below),), dimension_numbers=("NHC", "HIO", "NHC"))
    return taps.reshape(inputs, size[0], size[1], outputs).transpose(1, 2, 0, 3)
