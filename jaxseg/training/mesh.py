"""One mesh axis `data`: batches are sharded over it, everything else is replicated."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxseg.compute.device import check_platform
from jaxseg.errors import UsageError

DATA = "data"


def make_mesh(batch: int, devices: int | None = None) -> Mesh:
    """Mesh over `devices` (default: all) of this process, or of all processes together, from each equally many.

    Raises:
        UsageError: the batch cannot be shared out evenly; the message says what to choose. No device of the kind that
            was asked for.
    """
    check_platform()
    processes, available = jax.process_count(), jax.device_count()
    allowed = range(processes, available + 1, processes)
    count = available if devices is None else devices
    if count not in allowed:
        several = f"one of {list(allowed)}, from each of {processes} processes equally many"
        expected = f"1 … {available} on this host" if processes == 1 else several
        raise UsageError("bad number of devices", found=count, expected=expected)
    if batch % count:
        fitting = [number for number in allowed if batch % number == 0]
        raise UsageError(
            f"a batch of {batch} cannot be shared out evenly over {count} devices",
            expected=(f"devices: one of {fitting}; or " if fitting else "") + f"batch: a multiple of {count}",
            remedy="choose --devices or the recipe's batch accordingly",
        )
    return jax.make_mesh((count,), (DATA,), axis_types=(AxisType.Auto,), devices=_first(count // processes))


def _first(each: int) -> list[jax.Device]:
    """That many devices of each process, in the order of the processes."""
    return [device for process in range(jax.process_count()) for device in jax.local_devices(process)[:each]]


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """First axis over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))
