"""From the host to the devices, always explicitly, so that training can forbid every other transfer."""

from typing import TypeVar

import jax
import numpy as np
from jax import Array
from jax.sharding import NamedSharding

T = TypeVar("T")


def to_devices(tree: T, sharding: NamedSharding) -> T:
    """The arrays of a tree, laid out as `sharding` says.

    Where the sharding spans several processes, each of them gives what its own devices hold and none looks at what the
    others give; it is the caller who sees to it that all hold the same tree.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: _own_part(np.asarray(leaf), sharding), tree)


def _own_part(array: np.ndarray, sharding: NamedSharding) -> Array:
    places = sharding.addressable_devices_indices_map(array.shape)
    parts = [jax.device_put(array[index], device) for device, index in places.items()]
    return jax.make_array_from_single_device_arrays(array.shape, sharding, parts)
