"""Brings a batch to where it is trained on: from a stack on the device, or cut on the host where that is too large."""

import functools
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import NamedSharding

from jaxseg.input.placement import Placement
from jaxseg.input.render import Stack, render

RESIDENT_SHARE = 0.25  # of a device's memory that a stack may take; the rest is for the model and its activations
HOST_LIMIT = 4 << 30  # bytes, where a device does not tell its memory (CPUs)


class Crops(NamedTuple):
    """A batch that was cut beforehand: float32 (B, crop, crop, 3) in 0..255 and int32 (B, crop, crop)."""

    images: np.ndarray | Array
    masks: np.ndarray | Array


Source = Stack | Crops


@dataclass(frozen=True)
class Feed:
    """Turns a placement into the arrays that a step takes; both ways give the same crops.

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
            return self.stack, jax.device_put(placement, self.batch_sharding)
        crops = self._cut(placement)
        return jax.device_put((crops, placement), self.batch_sharding)

    def _cut(self, placement: Placement) -> Crops:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            images, masks = _render_on_host(self._taken(placement), _renumbered(placement), self.crop)
        return Crops(np.asarray(images), np.asarray(masks))

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
    return Feed(jax.device_put(stack, whole) if resident else stack, crop, resident, parts)


def _fits(stack: Stack) -> bool:
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    limit = HOST_LIMIT if memory is None else RESIDENT_SHARE * memory
    return np.asarray(stack.pixels).nbytes <= limit


def _renumbered(placement: Placement) -> Placement:
    return placement._replace(image=np.arange(len(placement.image), dtype=np.int32))


@functools.partial(jax.jit, static_argnums=2)
def _render_on_host(stack: Stack, placement: Placement, crop: int) -> tuple[Array, Array]:
    return render(stack, placement, crop)
