"""Sliding-window inference: windows batched across images, averaged on the device; any image size."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax import Array, lax

from jaxseg.arrays import Tree
from jaxseg.config import ModelConfig
from jaxseg.device import precision
from jaxseg.errors import UsageError
from jaxseg.input.placement import windows
from jaxseg.input.render import Stack, cut, normalise, pack
from jaxseg.models.folding import fold, folded, folded_network
from jaxseg.models.rounding import rounded
from jaxseg.program import Program
from jaxseg.training.losses import probabilities
from jaxseg.training.step import Statistics

BATCH = 16  # windows at once, at most
GROUP_PIXELS = 64_000_000  # of images that are segmented together; bounds the device's memory


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
        if not 0 < self.stride <= self.crop:
            raise UsageError(
                "windows would leave out pixels", found=f"stride {self.stride}", expected=f"1 … {self.crop}, the crop"
            )

    def __call__(self, params: Tree, groups: Iterable[Stack], statistics: Statistics) -> Iterator[np.ndarray]:
        """Foreground classes' probabilities, float32 (height, width, classes), image by image.

        Args:
            params: what `for_inference` gives.
            groups: the images; see `in_groups`.
        """
        for stack in groups:
            # to the host as a whole: JAX would compile a program for each size of an image to slice it on the device
            total = np.asarray(self._summed(params, stack, statistics))
            for number, (height, width) in enumerate(np.asarray(stack.sizes)):
                count = self._count(int(height), int(width))
                yield total[number, :height, :width] / count[..., None]

    def _summed(self, params: Tree, stack: Stack, statistics: Statistics) -> Array:
        accumulate = _accumulator(self.model, self.crop, self.compute_dtype)
        count, *sides = stack.pixels.shape
        # not `jnp.zeros`, a program of its own to compile for each shape
        total = jax.device_put(
            np.zeros((count, *(max(side, self.crop) for side in sides), self.model.classes), np.float32)
        )
        for image, corners, weights in _batches(np.asarray(stack.sizes), self.crop, self.stride):
            total = accumulate(total, params, stack, image, corners, weights, statistics)
        return total

    def _count(self, height: int, width: int) -> np.ndarray:
        """Windows that cover each pixel."""
        count = np.zeros((height, width), np.float32)
        for top, left in windows(np.array([[height, width]]), self.crop, self.stride)[1]:
            count[top : top + self.crop, left : left + self.crop] += 1
        return count


def in_groups(images: np.ndarray, sizes: np.ndarray) -> Iterator[Stack]:
    """Images on the device, in groups that are segmented together; their sizes stay on the host, where they are read.

    Args:
        images: uint8 (N, H, W, 3), padded at bottom and right; sizes: int (N, 2), true heights and widths.
    """
    group = max(1, GROUP_PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), group):
        rows = slice(start, start + group)
        stack = pack(images[rows], np.zeros(images[rows].shape[:3], np.uint8), sizes[rows])
        yield stack._replace(pixels=jax.device_put(stack.pixels))


def _batches(sizes: np.ndarray, crop: int, stride: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Images' numbers, corners and weights; the last batch is filled up with windows of weight 0."""
    which, corners = windows(sizes, crop, stride)
    batch = batch_size(len(which))
    for start in range(0, len(which), batch):
        rows = np.minimum(np.arange(start, start + batch), len(which) - 1)
        weights = (np.arange(start, start + batch) < len(which)).astype(np.float32)
        yield which[rows], corners[rows], weights


def batch_size(windows: int) -> int:
    """Windows at once: as few batches as can be, of equal sizes, so that less than one in each is computed in vain."""
    return -(-windows // -(-windows // BATCH))


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
def _accumulator(config: ModelConfig, crop: int, compute_dtype: str) -> Program[..., Array]:
    numbers = precision(compute_dtype)

    def accumulate(
        total: Array,
        params: Tree,
        stack: Stack,
        image: Array,
        corners: Array,
        weights: Array,
        statistics: Statistics,
    ) -> Array:
        net = folded_network(config)  # a tenth of a second, where this is traced
        images = normalise(cut(stack, image, corners, crop), *statistics)
        logits, _, _ = net.apply(params, {}, images.astype(numbers.maps), train=False)
        predicted = probabilities(logits) * weights[:, None, None, None]

        def add(number: int, total: Array) -> Array:
            start = (image[number], corners[number, 0], corners[number, 1], 0)
            window = lax.dynamic_slice(total, start, (1, crop, crop, config.classes))
            return lax.dynamic_update_slice(total, window + predicted[number][None], start)

        return lax.fori_loop(0, len(predicted), add, total)

    about = config, crop, compute_dtype
    return Program(accumulate, about, lambda total, *_: total, numbers, donate_argnums=0)


def stacked(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (h, w, 3) of any sizes as one padded (N, H, W, 3) with their sizes (N, 2)."""
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    padded = np.zeros((len(images), *sizes.max(0), 3), np.uint8)
    for number, image in enumerate(images):
        padded[number, : image.shape[0], : image.shape[1]] = image
    return padded, sizes
