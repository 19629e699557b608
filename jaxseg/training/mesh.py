"""One mesh axis `data`: batches are sharded over it, everything else is replicated."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxseg.errors import UsageError

DATA = "data"


def make_mesh(batch: int, devices: int | None = None) -> Mesh:
    """Mesh over `devices` of this process (default: all).

    Raises:
        UsageError: the batch cannot be shared out evenly; the message says what to choose.
    """
    available = jax.local_device_count()
    count = available if devices is None else devices
    if not 1 <= count <= available:
        raise UsageError("bad number of devices", found=count, expected=f"1 … {available} on this host")
    if batch % count:
        fitting = [number for number in range(1, available + 1) if batch % number == 0]
        raise UsageError(
            f"a batch of {batch} cannot be shared out evenly over {count} devices",
            expected=f"devices: one of {fitting}; or batch: a multiple of {count}",
            remedy="choose --devices or the recipe's batch accordingly",
        )
    return jax.make_mesh((count,), (DATA,), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:count])


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """First axis over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))
