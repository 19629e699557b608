"""Brings a batch to where it is trained on: from a stack on the device, or cut on the host where that is too large."""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from jaxseg.input.placement import Placement
from jaxseg.input.render import Stack, render
from jaxseg.input.transfer import to_devices

RESIDENT_SHARE = 0.25  # of a device's memory that a stack may take; the rest is for the model and its activations
HOST_LIMIT = 4 << 30  # bytes, where a device does not tell its memory (CPUs)
WORD = 4  # bytes a pixel of a stack

Place = Literal["auto", "device", "host"]


class Crops(NamedTuple):
    """A batch that was cut beforehand: float32 (B, crop, crop, 3) in 0..255 and int32 (B, crop, crop)."""

    images: np.ndarray | Array
    masks: np.ndarray | Array


Source = Stack | Crops


def cut(source: Source, placement: Placement, crop: int) -> tuple[Array, Array]:
    """Images float32 (B, crop, crop, 3) in 0..255 and masks int32 (B, crop, crop), within a compiled function."""
    if isinstance(source, Crops):
        return jnp.asarray(source.images), jnp.asarray(source.masks)
    return render(source, placement, crop)


@dataclass(frozen=True)
class Feed:
    """Turns a placement into the arrays that a step takes; both ways give the same crops.

    The batches of several steps at once need a resident stack.

    Attributes:
        stack: on the devices, or on the host when `resident` is false.
        crop: side of a crop, pixels.
        resident: whether the stack lies on the devices.
        batch_sharding: how batches are spread over the devices.
    """

    stack: Stack
    crop: int
    resident: bool
    batch_sharding: NamedSharding

    def take(self, batches: Iterator[Placement], count: int) -> tuple[Source, Placement]:
        """The next `count` batches, for as many steps at once."""
        return self(_stacked(list(itertools.islice(batches, count))))

    def __call__(self, placement: Placement) -> tuple[Source, Placement]:
        if self.resident:
            return self.stack, _placed(placement, self.batch_sharding)
        return to_devices((self._cut(placement), placement), self.batch_sharding)

    def _cut(self, placement: Placement) -> Crops:
        host = jax.local_devices(backend="cpu")[0]
        stack, renumbered = jax.device_put((self._taken(placement), _renumbered(placement)), host)
        return Crops(*jax.device_get(_render_on_host(stack, renumbered, self.crop)))

    def _taken(self, placement: Placement) -> Stack:
        """Only the images of this batch, so that the large stack is never copied."""
        return Stack(np.asarray(self.stack.pixels)[placement.image], np.asarray(self.stack.sizes)[placement.image])


def make_feed(
    stack: Stack,
    crop: int,
    whole: NamedSharding,
    parts: NamedSharding,
    place: Place = "auto",
) -> Feed:
    """A feed for a stack on the host.

    Args:
        stack: NumPy arrays.
        crop: side of a crop, pixels.
        whole, parts: shardings of what is replicated and of batches.
        place: where the stack shall lie; "auto" takes the device where it fits.
    """
    resident = lies_on_devices(stack.pixels.shape, place)
    return Feed(to_devices(stack, whole) if resident else stack, crop, resident, parts)


def lies_on_devices(shape: tuple[int, ...], place: Place) -> bool:
    """Whether a stack of this shape (N, H, W) lies on the devices."""
    if place != "auto":
        return place == "device"
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    limit = HOST_LIMIT if memory is None else RESIDENT_SHARE * memory
    return WORD * math.prod(shape) <= limit


def shapes(
    stack: tuple[int, ...],
    crop: int,
    batch: int,
    count: int,
    resident: bool,
    whole: NamedSharding,
    parts: NamedSharding,
) -> tuple[Source, Placement]:
    """What `Feed.take` will give, as shapes: known before the images are.

    Args:
        stack: (N, H, W). crop, whole, parts: as for `make_feed`.
        batch: crops a batch; count: batches.
        resident: whether the stack lies on the devices.
    """
    like = jax.ShapeDtypeStruct
    steps, spread = ((count,), _of_several(parts)) if count > 1 else ((), parts)
    placement = Placement(
        like((*steps, batch), np.int32, sharding=spread),  # type: ignore[arg-type]
        like((*steps, batch, 2), np.float32, sharding=spread),  # type: ignore[arg-type]
        like((*steps, batch, 2, 2), np.float32, sharding=spread),  # type: ignore[arg-type]
    )
    if resident:
        pixels, sizes = like(stack, np.uint32, sharding=whole), like((stack[0], 2), np.int32, sharding=whole)
        return Stack(pixels, sizes), placement  # type: ignore[arg-type]
    images, masks = (
        like((batch, crop, crop, 3), np.float32, sharding=parts),
        like((batch, crop, crop), np.int32, sharding=parts),
    )
    return Crops(images, masks), placement  # type: ignore[arg-type]


def _stacked(placements: Sequence[Placement]) -> Placement:
    """The batches of several steps on a new first axis, (K, B, ...); a single one as it is."""
    if len(placements) == 1:
        return placements[0]
    return Placement(*(np.stack(parts) for parts in zip(*placements, strict=True)))


def _placed(placement: Placement, parts: NamedSharding) -> Placement:
    """A placement on the devices: (B, ...) of one batch, or (K, B, ...) of several."""
    return to_devices(placement, parts if np.ndim(placement.image) == 1 else _of_several(parts))


def _of_several(parts: NamedSharding) -> NamedSharding:
    """How the batches of several steps are spread, (K, B, ...)."""
    return NamedSharding(parts.mesh, PartitionSpec(None, *parts.spec))


def _renumbered(placement: Placement) -> Placement:
    return placement._replace(image=np.arange(len(placement.image), dtype=np.int32))


@functools.partial(jax.jit, static_argnums=2)
def _render_on_host(stack: Stack, placement: Placement, crop: int) -> tuple[Array, Array]:
    return render(stack, placement, crop)
