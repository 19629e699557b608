"""Colours varied on the device: stain, light, camera and focus differ between laboratories, the tissue does not."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# Optical densities of hematoxylin, eosin and the rest in red, green, blue: Ruifrok and Johnston 2001, rows of length 1
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
FOCUS = 2.0  # standard deviation of the full blur, pixels
REACH = 4  # pixels on either side that the blur takes in


class Augmentation(NamedTuple):
    """How far views may differ in colour.

    Attributes:
        stain: amounts of dye are multiplied by 1 ± `stain` and shifted by ± half of that, in optical density.
        colour: brightness, contrast and saturation are multiplied by 1 ± `colour` each.
        grey: share of views without colour.
        blur: views are mixed with a blurred copy (Gaussian, 2 pixels), which gets a weight of up to `blur`.
    """

    stain: float
    colour: float
    grey: float
    blur: float


def augment(images: Array, key: Array, strength: Augmentation) -> Array:
    """Images float32 (B, H, W, 3) in 0..255, each with colours and focus of its own, again in 0..255."""
    stain, light, grey, focus = jax.random.split(key, 4)
    images = restained(images, stain, strength.stain)
    images = relit(images, light, strength.colour)
    images = greyed(images, grey, strength.grey)
    return defocused(images, focus, strength.blur)


def restained(images: Array, key: Array, strength: float) -> Array:
    """Stain matrices by Beer and Lambert's law: more or less of each dye, pixel by pixel in proportion."""
    scale, shift = jax.random.split(key)
    density = -jnp.log((images + 1) / 256)
    basis = jnp.asarray(STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True))
    dyes = _mixed(density, jnp.linalg.inv(basis))
    dyes = dyes * (1 + _spread(scale, len(images), 3, strength)) + _spread(shift, len(images), 3, strength / 2)
    return jnp.clip(256 * jnp.exp(-_mixed(dyes, basis)) - 1, 0, 255)


def relit(images: Array, key: Array, strength: float) -> Array:
    """Brightness, contrast about the image's mean grey, and saturation."""
    factors = 1 + _spread(key, len(images), 3, strength)
    brightness, contrast, saturation = (factors[..., index : index + 1] for index in range(3))
    images = jnp.clip(images * brightness, 0, 255)
    middle = luminance(images).mean((1, 2, 3), keepdims=True)
    images = jnp.clip(middle + contrast * (images - middle), 0, 255)
    light = luminance(images)
    return jnp.clip(light + saturation * (images - light), 0, 255)


def greyed(images: Array, key: Array, share: float) -> Array:
    """Some of the images as their luminance, in all three channels."""
    chosen = jax.random.bernoulli(key, float(share), (len(images), 1, 1, 1))
    return jnp.where(chosen, luminance(images), images)


def defocused(images: Array, key: Array, strength: float) -> Array:
    """Images mixed with a blurred copy in a random proportion."""
    amount = jax.random.uniform(key, (len(images), 1, 1, 1), maxval=strength)
    weights = [math.exp(-0.5 * (step / FOCUS) ** 2) for step in range(-REACH, REACH + 1)]
    blurred = images
    for axis in (1, 2):
        length = images.shape[axis]
        pads = [(REACH, REACH) if number == axis else (0, 0) for number in range(4)]
        padded = jnp.pad(blurred, pads, mode="reflect")
        shifted = [jax.lax.slice_in_dim(padded, start, start + length, axis=axis) for start in range(2 * REACH + 1)]
        blurred = jnp.asarray(sum(w * part for w, part in zip(weights, shifted, strict=True)) / sum(weights))
    return jnp.clip(images + amount * (blurred - images), 0, 255)


def luminance(images: Array) -> Array:
    """(B, H, W, 3) -> (B, H, W, 1)."""
    return (images * LUMA).sum(-1, keepdims=True)


def _mixed(colours: Array, matrix: Array) -> Array:
    return jnp.einsum("bhwc,cd->bhwd", colours, matrix, precision="highest")


def _spread(key: Array, images: int, channels: int, strength: float) -> Array:
    """Uniform in ± strength, (B, 1, 1, channels)."""
    return jax.random.uniform(key, (images, 1, 1, channels), minval=-strength, maxval=strength)
