"""Sliding-window inference: windows batched across images, averaged on the device; any image size.

Only what cuts windows and adds them up is compiled for each size of a group; the network sees windows alone.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxseg.compute.device import on_cpu, one_at_a_time, precision
from jaxseg.compute.program import Program
from jaxseg.config import ModelConfig, coerce_numbers
from jaxseg.errors import UsageError
from jaxseg.inference.likeliest import likeliest
from jaxseg.input.placement import starts, windows
from jaxseg.input.render import normalise
from jaxseg.input.statistics import Statistics
from jaxseg.models.folding import fold, folded, folded_network
from jaxseg.models.logits import probabilities
from jaxseg.models.rounding import rounded
from jaxseg.storage.arrays import Tree

BATCH = 16  # windows at once, at most
SIDE_MULTIPLE = 64  # of the sides of groups, so that there are few sizes to compile for
GROUP_PIXELS = 64_000_000  # of images that are segmented together; bounds the device's memory


class Group(NamedTuple):
    """Images that are segmented together.

    Attributes:
        pixels: uint8 (N, H, W, 3), on the device; H and W are multiples of `SIDE_MULTIPLE`, not less than a window's.
        sizes: int (N, 2), true heights and widths, on the host, where they are read.
    """

    pixels: Array
    sizes: np.ndarray


@dataclass(frozen=True)
class SlidingWindow:
    """How windows are laid (paper: side 256, stride 128, predictions averaged with equal weights).

    Attributes:
        crop: side of a window, pixels; stride: distance of windows, pixels.
    """

    model: ModelConfig
    crop: int
    stride: int
    compute_dtype: str = "auto"

    def __post_init__(self) -> None:
        coerce_numbers(self, int, "crop", "stride")
        if not 0 < self.stride <= self.crop:
            raise UsageError(
                "windows would leave out pixels", found=f"stride {self.stride}", expected=f"1 … {self.crop}, the crop"
            )

    def __call__(self, params: Tree, groups: Iterable[Group], statistics: Statistics) -> Iterator[np.ndarray]:
        """Foreground classes' probabilities, float32 (height, width, classes), image by image.

        Args:
            params: what `for_inference` gives.
            groups: the images; see `in_groups`.
        """
        return self._images(params, groups, statistics, _mean)

    def classes(self, params: Tree, groups: Iterable[Group], statistics: Statistics) -> Iterator[np.ndarray]:
        """The same, and of each pixel only its `likeliest` class, uint8 (height, width)."""
        return self._images(params, groups, statistics, _likeliest)

    def _images(
        self, params: Tree, groups: Iterable[Group], statistics: Statistics, finish: Callable[..., Array]
    ) -> Iterator[np.ndarray]:
        statistics = jax.device_put(statistics)
        for group in groups:
            covered = [
                _covered(lengths, side, self.crop, self.stride)
                for lengths, side in zip(group.sizes.T, group.pixels.shape[1:3], strict=True)
            ]
            # to the host as a whole: JAX would compile a program for each size of an image to slice it on the device
            whole = np.asarray(finish(self._summed(params, group, statistics), *covered))
            for result, (height, width) in zip(whole, group.sizes, strict=True):
                yield result[:height, :width].copy()

    def _summed(self, params: Tree, group: Group, statistics: Statistics) -> Array:
        predict = _predictor(self.model, self.compute_dtype)
        shape = (*group.pixels.shape[:3], self.model.classes)
        total = jnp.zeros(shape, jnp.float32, device=group.pixels.sharding)  # bound to it, as what is added to it is
        for batch in _batches(group.sizes, self.crop, self.stride):
            image, corners, weights = jax.device_put(batch)
            predicted = predict(params, _cut(group.pixels, image, corners, self.crop), weights, statistics)
            total = one_at_a_time(_added(total, predicted, image, corners))
        return total


def in_groups(images: np.ndarray, sizes: np.ndarray, crop: int) -> Iterator[Group]:
    """Images on the device, in groups that are segmented together.

    Args:
        images: uint8 (N, H, W, 3), padded at bottom and right; sizes: int (N, 2), true heights and widths.
        crop: side of the windows; smaller images are continued by reflection.
    """
    height, width = _sides(images, crop)
    group = max(1, GROUP_PIXELS // (height * width))
    for start in range(0, len(images), group):
        rows = slice(start, start + group)
        pixels = np.zeros((len(images[rows]), height, width, 3), np.uint8)
        for place, image, size in zip(pixels, images[rows], sizes[rows], strict=True):
            whole = _continued(image[: size[0], : size[1]], crop)
            place[: whole.shape[0], : whole.shape[1]] = whole
        yield Group(jax.device_put(pixels), sizes[rows])


def is_one_group(images: np.ndarray, crop: int) -> bool:
    """Whether all images are segmented together."""
    height, width = _sides(images, crop)
    return len(images) * height * width <= GROUP_PIXELS


def _sides(images: np.ndarray, crop: int) -> tuple[int, int]:
    """Height and width of groups of such images."""
    height, width = (-(-max(side, crop) // SIDE_MULTIPLE) * SIDE_MULTIPLE for side in images.shape[1:3])
    return height, width


def _continued(image: np.ndarray, crop: int) -> np.ndarray:
    """To the size of a window at least, by reflection that does not repeat the border's pixels."""
    if min(image.shape[:2]) >= crop:
        return image
    return np.pad(image, (*((0, max(crop - side, 0)) for side in image.shape[:2]), (0, 0)), mode="reflect")


def _batches(sizes: np.ndarray, crop: int, stride: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Images' numbers, corners and weights; the last batch is filled up with windows of weight 0."""
    which, corners = windows(sizes, crop, stride)
    batch = batch_size(len(which))
    for start in range(0, len(which), batch):
        rows = np.minimum(np.arange(start, start + batch), len(which) - 1)
        weights = (np.arange(start, start + batch) < len(which)).astype(np.float32)
        yield which[rows], corners[rows], weights


def batch_size(windows: int) -> int:
    """Windows at once, of which each number takes a network to compile.

    On CPUs as few batches as can be, of equal sizes, so that less than one in each is computed in vain. On accelerators
    always 16: presumably they compute 15 in vain in far less time than compiling takes.
    """
    return -(-windows // -(-windows // BATCH)) if on_cpu() else BATCH


def _covered(lengths: np.ndarray, side: int, crop: int, stride: int) -> np.ndarray:
    """How many windows cover each row, or column, of each image: float32 (N, side), 1 beyond the image."""
    count = np.zeros((len(lengths), side), np.float32)
    for covered, length in zip(count, lengths, strict=True):
        for start in starts(int(length), crop, stride):
            covered[start : start + crop] += 1
    return np.maximum(count, 1)


@functools.partial(jax.jit, static_argnums=3)
def _cut(pixels: Array, image: Array, corners: Array, crop: int) -> Array:
    """Windows uint8 (B, crop, crop, 3)."""

    def one(number: Array, corner: Array) -> Array:
        return lax.dynamic_slice(pixels, (number, corner[0], corner[1], 0), (1, crop, crop, 3))[0]

    return jax.vmap(one)(image, corners)


@functools.partial(jax.jit, donate_argnums=0)
def _added(total: Array, predicted: Array, image: Array, corners: Array) -> Array:
    """The sum over windows, (N, H, W, classes), with those of a batch."""

    def add(total: Array, window: tuple[Array, Array, Array]) -> tuple[Array, None]:
        predicted, number, corner = window
        start = (number, corner[0], corner[1], 0)
        before = lax.dynamic_slice(total, start, (1, *predicted.shape))
        return lax.dynamic_update_slice(total, before + predicted, start), None

    # A loop compiles sooner, but on a GPU takes two launches for each window, and the host's attention between them.
    return lax.scan(add, total, (predicted, image, corners), unroll=not on_cpu())[0]


@functools.partial(jax.jit, donate_argnums=0)
def _mean(total: Array, rows: Array, columns: Array) -> Array:
    """The sum divided by the number of windows over each pixel."""
    return total / (rows[:, :, None] * columns[:, None, :])[..., None]


@jax.jit
def _likeliest(total: Array, rows: Array, columns: Array) -> Array:
    return likeliest(_mean(total, rows, columns))


def for_inference(params: Tree, stats: Tree, compute_dtype: str) -> Tree:
    """Parameters on the device, batch normalisation folded in, rounded to what is computed with."""
    return _folder(compute_dtype)(params, stats)


@functools.cache
def _folder(compute_dtype: str) -> Program[[Tree, Tree], Tree]:
    numbers = precision(compute_dtype)

    def folder(params: Tree, stats: Tree) -> Tree:
        return rounded(fold(params, stats), numbers)

    return Program(folder, compute_dtype, lambda params, _: folded(params), numbers)


@functools.cache
def _predictor(config: ModelConfig, compute_dtype: str) -> Program[[Tree, Array, Array, Statistics], Array]:
    numbers = precision(compute_dtype)

    def predict(params: Tree, windows: Array, weights: Array, statistics: Statistics) -> Array:
        net = folded_network(config)  # a tenth of a second, where this is traced
        images = normalise(windows.astype(jnp.float32), *statistics)
        (logits, _), _ = net.apply(params, {}, images.astype(numbers.maps), train=False)
        return probabilities(logits) * weights[:, None, None, None]

    return Program(predict, (config, compute_dtype), lambda *_: 0, numbers)


def padded_stack(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (h, w, 3) of any sizes as one padded (N, H, W, 3) with their sizes (N, 2)."""
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    padded = np.zeros((len(images), *sizes.max(0), 3), np.uint8)
    for number, image in enumerate(images):
        padded[number, : image.shape[0], : image.shape[1]] = image
    return padded, sizes
