"""Crops cut, rotated and flipped on the device by one gather: image and mask travel in the same 32 bits a pixel."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxseg.input.placement import Placement

MASK_SHIFT = 24  # bits 0-7 red, 8-15 green, 16-23 blue, 24-31 class


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
    """
    size = jnp.asarray(stack.sizes)[placement.image]  # (B, 2)
    y, x = _coordinates(placement, crop)
    y, x = _reflect(y, size[:, 0]), _reflect(x, size[:, 1])
    top, left = jnp.floor(y).astype(jnp.int32), jnp.floor(x).astype(jnp.int32)
    bottom = jnp.minimum(top + 1, size[:, 0, None, None] - 1)
    right = jnp.minimum(left + 1, size[:, 1, None, None] - 1)
    pixels, image = jnp.asarray(stack.pixels), jnp.asarray(placement.image)[:, None, None]
    corners = [pixels[image, row, column] for row in (top, bottom) for column in (left, right)]
    down, along = y - top, x - left
    weights = [(1 - down) * (1 - along), (1 - down) * along, down * (1 - along), down * along]
    colours = sum(w[..., None] * _colours(corner) for w, corner in zip(weights, corners, strict=True))
    upper, lower = (jnp.where(along < 0.5, corners[i], corners[i + 1]) for i in (0, 2))
    nearest = jnp.where(down < 0.5, upper, lower)
    return jnp.asarray(colours), (nearest >> MASK_SHIFT).astype(jnp.int32)


def normalise(images: Array, mean: Array, std: Array) -> Array:
    """Images in 0..255 to zero mean and unit deviation, by statistics of images in 0..1."""
    return (images / 255 - mean) / std


def _coordinates(placement: Placement, crop: int) -> tuple[Array, Array]:
    """Rows and columns (B, crop, crop) that a crop's pixels show."""
    offset = jnp.arange(crop, dtype=jnp.float32) - (crop - 1) / 2
    matrix = jnp.asarray(placement.matrix)[..., None, None]
    centre = jnp.asarray(placement.centre)[..., None, None]
    down, along = offset[None, :, None], offset[None, None, :]
    y = centre[:, 0] + matrix[:, 0, 0] * down + matrix[:, 0, 1] * along
    x = centre[:, 1] + matrix[:, 1, 0] * down + matrix[:, 1, 1] * along
    return y, x


def _reflect(position: Array, length: Array) -> Array:
    last = (length.astype(jnp.float32) - 1)[:, None, None]
    period = jnp.maximum(2 * last, 1)
    return last - jnp.abs(jnp.mod(position, period) - last)


def _colours(words: Array) -> Array:
    return jnp.stack([(words >> shift) & 255 for shift in (0, 8, 16)], -1).astype(jnp.float32)
