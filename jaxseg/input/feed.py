"""Brings a batch to where it is trained on: from a stack on the device, or cut on the host where that is too large."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from jaxseg.input.placement import Placement
from jaxseg.input.render import Stack, render
from jaxseg.input.transfer import to_devices

RESIDENT_SHARE = 0.25  # of a device's memory that a stack may take; the rest is for the model and its activations
HOST_LIMIT = 4 << 30  # bytes, where a device does not tell its memory (CPUs)


class Crops(NamedTuple):
    """A batch that was cut beforehand: float32 (B, crop, crop, 3) in 0..255 and int32 (B, crop, crop)."""

    images: np.ndarray | Array
    masks: np.ndarray | Array


Source = Stack | Crops


def stacked(placements: Sequence[Placement]) -> Placement:
    """The batches of several steps on a new first axis, (K, B, ...); a single one as it is."""
    if len(placements) == 1:
        return placements[0]
    return Placement(*(np.stack(parts) for parts in zip(*placements, strict=True)))


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

    def __call__(self, placement: Placement) -> tuple[Source, Placement]:
        if self.resident:
            single = np.ndim(placement.image) == 1
            return self.stack, to_devices(placement, self.batch_sharding if single else self._steps_sharding())
        return to_devices((self._cut(placement), placement), self.batch_sharding)

    def _steps_sharding(self) -> NamedSharding:
        return NamedSharding(self.batch_sharding.mesh, PartitionSpec(None, *self.batch_sharding.spec))

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
    place: Literal["auto", "device", "host"] = "auto",
) -> Feed:
    """A feed for a stack on the host.

    Args:
        stack: NumPy arrays.
        crop: side of a crop, pixels.
        whole, parts: shardings of what is replicated and of batches.
        place: where the stack shall lie; "auto" takes the device where it fits.
    """
    resident = place == "device" or (place == "auto" and _fits(stack))
    return Feed(to_devices(stack, whole) if resident else stack, crop, resident, parts)


def _fits(stack: Stack) -> bool:
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    limit = HOST_LIMIT if memory is None else RESIDENT_SHARE * memory
    return np.asarray(stack.pixels).nbytes <= limit


def _renumbered(placement: Placement) -> Placement:
    return placement._replace(image=np.arange(len(placement.image), dtype=np.int32))


@functools.partial(jax.jit, static_argnums=2)
def _render_on_host(stack: Stack, placement: Placement, crop: int) -> tuple[Array, Array]:
    return render(stack, placement, crop)
