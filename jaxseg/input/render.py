"""Crops cut, rotated and flipped on the device by one gather: image and mask travel in the same 32 bits a pixel."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxseg.compute.device import on_cpu
from jaxseg.input.placement import Placement

MASK_SHIFT = 24  # bits 0-7 red, 8-15 green, 16-23 blue, 24-31 class
ROWS = 8  # of a crop that a CPU works on at once
COUNTED = np.iinfo(np.int32).max  # pixels of a stack that can be counted through


class Stack(NamedTuple):
    """All images of a split, as they lie on the device.

    Attributes:
        pixels: uint32 (N, H, W), red, green, blue and class in one word.
        sizes: int32 (N, 2), true heights and widths; what lies beyond is padding.
    """

    pixels: np.ndarray | Array
    sizes: np.ndarray | Array


def pack(images: np.ndarray, masks: np.ndarray, sizes: np.ndarray) -> Stack:
    """Stack of images uint8 (N, H, W, 3) and masks uint8 (N, H, W)."""
    words = np.empty((*masks.shape, 4), np.uint8)
    words[..., :3], words[..., 3] = images, masks
    return Stack(words.view("<u4")[..., 0], np.asarray(sizes, np.int32))


def render(stack: Stack, placement: Placement, crop: int) -> tuple[Array, Array]:
    """Crops float32 (B, crop, crop, 3) in 0..255, bilinear, and their classes int32 (B, crop, crop), nearest.

    Beyond its borders an image is continued by reflection that does not repeat the border's pixels.
    On CPUs crop by crop: what is computed on the way then stays in a core's cache.
    """
    if not on_cpu():
        return _render(stack, placement, crop)
    # a loop over what is shared out over devices would do all of it on each of them: one crop of every device at a time
    devices = math.gcd(len(placement.image), jax.device_count())
    turns = jax.tree.map(lambda part: part.reshape(devices, -1, *part.shape[1:]).swapaxes(0, 1), placement)
    rendered = lax.map(lambda turn: _render(stack, turn, crop), turns)
    return jax.tree.map(lambda part: part.swapaxes(0, 1).reshape(-1, *part.shape[2:]), rendered)


def _render(stack: Stack, placement: Placement, crop: int) -> tuple[Array, Array]:
    pixels = _two_wide(jnp.asarray(stack.pixels))
    _, height, width = pixels.shape
    first, down, along = _sample_points(Stack(pixels, stack.sizes), placement, crop)
    below = jnp.minimum(first + width, height * width - 2)  # below the last row there is nothing, and `down` is 0
    image = jnp.asarray(placement.image)[:, None, None]
    corners = [*_pairs(pixels, image, first), *_pairs(pixels, image, below)]
    down, along = _joined(down), _joined(along)
    weights = [(1 - down) * (1 - along), (1 - down) * along, down * (1 - along), down * along]
    colours = sum(w[..., None] * _colours(corner) for w, corner in zip(weights, corners, strict=True))
    upper, lower = (jnp.where(along < 0.5, corners[i], corners[i + 1]) for i in (0, 2))
    nearest = jnp.where(down < 0.5, upper, lower)
    return jnp.asarray(colours), (nearest >> MASK_SHIFT).astype(jnp.int32)


def _two_wide(pixels: Array) -> Array:
    """At least, because pixels are read in pairs."""
    return jnp.pad(pixels, ((0, 0), (0, 0), (0, 1))) if pixels.shape[2] == 1 else pixels


def _pairs(pixels: Array, image: Array, first: Array) -> tuple[Array, Array]:
    """The pixels of `first`, see `_sample_points`, and those to the right of them, each (B, crop, crop).

    CPUs read two at once almost as fast as one, and faster still where a single number says where.
    """
    number, height, width = pixels.shape
    counted = pixels.size <= COUNTED
    where = (first + image * (height * width),) if counted else (image, first)
    axes = tuple(range(len(where)))
    numbers = lax.GatherDimensionNumbers(offset_dims=(4,), collapsed_slice_dims=axes[:-1], start_index_map=axes)
    flat = pixels.reshape(-1) if counted else pixels.reshape(number, -1)
    taken = (*(1 for _ in axes[:-1]), 2)
    pairs = lax.gather(
        flat, jnp.stack(jnp.broadcast_arrays(*where), -1), numbers, taken, mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS
    )
    return _joined(pairs[..., 0]), _joined(pairs[..., 1])


def normalise(images: Array, mean: np.ndarray | Array, std: np.ndarray | Array) -> Array:
    """Images in 0..255 to zero mean and unit deviation, by statistics of images in 0..1."""
    return (images / 255 - mean) / std


def _sample_points(stack: Stack, placement: Placement, crop: int) -> tuple[Array, Array, Array]:
    """What the pixels of the crops show, each (parts, B, rows, crop), the rows of a crop in `parts` parts.

    The pixel up and left of it, int32, counted through its image row by row, never of the stack's last column; how far
    down and along from there it lies, in [0, 1) and [0, 1]. On CPUs a loop over parts, because XLA stores what a loop
    gives: what is no more than a few products it computes anew for each of its users, here for each corner and each
    colour.
    """
    size = jnp.asarray(stack.sizes)[placement.image]
    width = stack.pixels.shape[2]

    def of_rows(rows: Array) -> tuple[Array, Array, Array]:
        y, x = _coordinates(placement, crop, rows)
        y, x = _reflect(y, size[:, 0]), _reflect(x, size[:, 1])
        top, left = jnp.floor(y), jnp.minimum(jnp.floor(x), width - 2)
        return top.astype(jnp.int32) * width + left.astype(jnp.int32), y - top, x - left

    rows = jnp.arange(crop, dtype=jnp.float32)
    if on_cpu():
        return lax.map(of_rows, rows.reshape(-1, math.gcd(crop, ROWS)))
    first, down, along = of_rows(rows)
    return first[None], down[None], along[None]


def _joined(parts: Array) -> Array:
    """(parts, B, rows, crop) -> (B, crop, crop)."""
    count, batch, rows, crop = parts.shape
    return parts.swapaxes(0, 1).reshape(batch, count * rows, crop)


def _coordinates(placement: Placement, crop: int, rows: Array) -> tuple[Array, Array]:
    """Rows and columns (B, rows, crop) of an image that these rows of a crop show."""
    offset = jnp.arange(crop, dtype=jnp.float32) - (crop - 1) / 2
    matrix = jnp.asarray(placement.matrix)[..., None, None]
    centre = jnp.asarray(placement.centre)[..., None, None]
    down, along = (rows - (crop - 1) / 2)[None, :, None], offset[None, None, :]
    y = centre[:, 0] + matrix[:, 0, 0] * down + matrix[:, 0, 1] * along
    x = centre[:, 1] + matrix[:, 1, 0] * down + matrix[:, 1, 1] * along
    return y, x


def _reflect(position: Array, length: Array) -> Array:
    last = (length.astype(jnp.float32) - 1)[:, None, None]
    period = jnp.maximum(2 * last, 1)
    within = position - period * jnp.floor(position / period)  # not `mod`, a call of the C library for each number
    return jnp.clip(last - jnp.abs(within - last), 0, last)  # rounding may have left [0, period)


def _colours(words: Array) -> Array:
    return jnp.stack([(words >> shift) & 255 for shift in (0, 8, 16)], -1).astype(jnp.float32)
