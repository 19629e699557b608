"""Grain: which crops a run sees. Every batch is a function of (stream, position); pixels are never touched here."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jaxseg import seeds
from jaxseg.input.placement import Placement

if TYPE_CHECKING:
    import grain  # a tenth of a second, which nothing needs before the first step

ENDLESS = 2**62
AHEAD = 20  # batches, of two dispatches on an accelerator; drawing one takes less than half a millisecond


@dataclass(frozen=True, eq=False)
class CropPlan:
    """Random crops, one an image an epoch, in batches that run across the ends of epochs.

    Attributes:
        images: int (n,), the numbers within the stack of the images to train on.
        sizes: int (N, 2), heights and widths of all images of the stack, pixels.
        batch: crops a batch.
        crop: side of a crop, pixels.
        rotate: draw any angle; otherwise flips only.
        stream: names of the random stream, such as (dataset, repeat).
        view: plans that differ in it alone cut the same images, in the same order, at other places.
    """

    images: np.ndarray
    sizes: np.ndarray
    batch: int
    crop: int
    rotate: bool
    stream: tuple[object, ...]
    view: tuple[object, ...] = ()

    def dataset(self, end: int = ENDLESS) -> "grain.MapDataset":
        """Dataset of the batches before `end`; its iterators' state is `{"next_index": position}`."""
        import grain

        return grain.MapDataset.range(end).map(self.placement)

    def iterate(self, position: int = 0, end: int = ENDLESS) -> "grain.DatasetIterator":
        """Batches from `position` to before `end`, drawn ahead by one thread."""
        import grain

        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)
        iterator = iter(self.dataset(end).to_iter_dataset(options))
        iterator.set_state({"next_index": position})
        return iterator

    def placement(self, position: int) -> Placement:
        """The batch at a position."""
        index = self._images_at(position)
        draw = seeds.generator("crops", *self.stream, *self.view, position)
        room = np.maximum(self.sizes[index] - self.crop, 0)
        # an image smaller than the crop lies in its middle; reflection fills the rest
        short = np.minimum(self.sizes[index] - self.crop, 0) // 2
        corner = draw.integers(0, room + 1) + short
        centre = (corner + (self.crop - 1) / 2).astype(np.float32)
        return Placement(index.astype(np.int32), centre, self._matrices(draw))

    def _matrices(self, draw: np.random.Generator) -> np.ndarray:
        angle = draw.uniform(0, 2 * np.pi, self.batch) if self.rotate else np.zeros(self.batch)
        flip = draw.integers(0, 2, (self.batch, 2)) * 2 - 1
        cosine, sine = np.cos(angle), np.sin(angle)
        rotation = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
        return (rotation * flip[:, None, :]).astype(np.float32)

    def _images_at(self, position: int) -> np.ndarray:
        places = np.arange(position * self.batch, (position + 1) * self.batch)
        epochs, within = np.divmod(places, len(self.images))
        orders = [_order(self.stream, epoch, len(self.images)) for epoch in range(epochs[0], epochs[-1] + 1)]
        return self.images[np.stack(orders)[epochs - epochs[0], within]]


@functools.lru_cache(maxsize=4)  # the batches of an epoch ask for the same
def _order(stream: tuple[object, ...], epoch: int, images: int) -> np.ndarray:
    return seeds.generator("shuffle", *stream, epoch).permutation(images)


def steps_of(epochs: float, images: int, batch: int) -> int:
    """Steps after which every image was seen `epochs` times: ceil(epochs x images / batch)."""
    return int(-(-epochs * images // batch))
