"""Several processes at one run, on one host or several: what they tell each other. The first leads and writes.

Only `launch/train.py --distributed` joins processes; runs that have nothing to do with each other never do.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh

from jaxseg.compute import gpus
from jaxseg.errors import StoppedError, UsageError
from jaxseg.input.transfer import to_devices
from jaxseg.training.mesh import replicated, sharded

T = TypeVar("T")
JOINING = 300  # seconds until all processes have come, JAX's own choice
PATIENCE = 30  # seconds that a process which failed waits for the others, before all are ended
_kept_programs = True  # whether JAX's compilation cache was on before processes joined


def join(coordinator: str | None = None, processes: int | None = None, process_id: int | None = None) -> None:
    """Join the other processes of a run, before anything is computed.

    Says so beforehand: where one of them does not come, JAX waits in silence and then aborts.

    Args:
        coordinator: host:port of the first process; processes: how many there are; process_id: which this is, from 0.
            All three, or none where the cluster's scheduler is known to JAX, such as Slurm or Open MPI.

    Raises:
        UsageError: the processes do not find each other.
    """
    explicit = (coordinator, processes, process_id)
    if None in explicit and any(value is not None for value in explicit):
        raise UsageError(
            "--coordinator, --processes and --process-id belong together",
            found=explicit,
            remedy="give all three, or none under Slurm or Open MPI",
        )
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM from us
    # On CPUs, computations in flight together may wait for each other's collectives.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    at = f" at {coordinator}" if coordinator is not None else ""
    print(
        f"waiting for all processes of the run{at}; if some do not come within {JOINING} s, JAX ends those that did",
        file=sys.stderr,
        flush=True,
    )
    try:
        jax.distributed.initialize(*explicit, initialization_timeout=JOINING, shutdown_timeout_seconds=PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            f"the processes of the run did not find each other: {error}",
            remedy="start one per host or GPU with srun, "
            "or give --coordinator HOST:PORT --processes N --process-id 0 … N-1",
        ) from error
    _take_gpus()
    _keep_no_programs()


def _take_gpus() -> None:
    """See the GPUs that are meant for this process, unless the user has chosen.

    JAX gives each task of a scheduler the one that goes with its number on the host: one of several that it has for
    itself, or one that it does not see (jax issue 23452).
    """
    meant = gpus.of_task(os.environ, len(gpus.visible()))
    if meant is not None and "JAX_LOCAL_DEVICE_IDS" not in os.environ:
        jax.config.update("jax_cuda_visible_devices", meant)


def _keep_no_programs() -> None:
    """Turn JAX's compilation cache off until the processes part, where there are several.

    They compile for GPUs together, each trying out a part of the kernels. JAX lets the first alone fill the cache: once
    it finds a program there it compiles nothing, and the others would wait for its part.
    """
    global _kept_programs
    _kept_programs = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", _kept_programs and jax.process_count() == 1)


def devices_in_all() -> str:
    """What the processes bring together, for people."""
    return f"{jax.process_count()} processes, {jax.device_count()} x {jax.devices()[0].device_kind}"


def leave() -> None:
    """Wait for all processes, then be one by itself; the first goes on alone and the others may end."""
    multihost_utils.sync_global_devices("leave")
    jax.distributed.shutdown()
    jax.config.update("jax_enable_compilation_cache", _kept_programs)
    compilation_cache.reset_cache()  # JAX looks at the option once


def lost_another(error: BaseException) -> bool:
    """Whether an error that JAX raised tells of a connection to another process that broke."""
    return re.search(r"(Gloo|NCCL)(.|\n)*(Connection (reset|closed)|remote process exited)", str(error)) is not None


def end_without_the_others(message: str) -> NoReturn:
    """Say why and end, without the farewell that JAX would wait for and then abort."""
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
    os._exit(StoppedError.exit_code)


def will_lead(process_id: int | None) -> bool:
    """Whether this process will lead after `join`, as far as its number or Slurm's or Open MPI's tells."""
    told = [os.environ.get(name) for name in ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK")]
    return process_id == 0 if process_id is not None else "0" in told


def leads() -> bool:
    """Whether this process writes the run's files; true where it is the only one."""
    return jax.process_index() == 0


def from_first(tree: T) -> T:
    """The arrays of the first process, bit for bit; every process gives a tree of the same shapes and types."""
    if jax.process_count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    arrays = [np.asarray(leaf) for leaf in leaves]
    sent = np.concatenate([np.ravel(array).view(np.uint8) for array in arrays])
    received = np.asarray(multihost_utils.broadcast_one_to_all(sent))
    parts = np.split(received, np.cumsum([array.nbytes for array in arrays])[:-1])
    shaped = [part.copy().view(a.dtype).reshape(a.shape) for part, a in zip(parts, arrays, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def differing(values: dict[str, Any]) -> list[str]:
    """Names of the values, JSON all of them, that are not the same in every process; every process gets the same."""
    if jax.process_count() == 1:
        return []
    texts = [json.dumps(value, sort_keys=True).encode() for value in values.values()]
    digests = np.stack([np.frombuffer(hashlib.sha256(text).digest(), np.uint8) for text in texts])
    everywhere = np.asarray(multihost_utils.process_allgather(digests))  # (processes, values, 32)
    differ = (everywhere != everywhere[0]).any((0, 2))
    return [name for name, here in zip(values, differ, strict=True) if here]


def agreed(ask: Callable[[], bool], mesh: Mesh) -> Callable[[], bool]:
    """A question to which all processes get the same answer; `ask` itself where there is only one process."""
    return ask if jax.process_count() == 1 else Agreement(ask, mesh)


class Agreement:
    """Callable that turns true in every process at the same call: the one after `ask` was true in any of them.

    All processes must call it equally often. It answers a call late so that no device is waited for.
    """

    def __init__(self, ask: Callable[[], bool], mesh: Mesh) -> None:
        self._ask, self._mesh = ask, mesh
        self._highest = jax.jit(jnp.max, out_shardings=replicated(mesh))
        self._asked: Array | None = None

    def __call__(self) -> bool:
        former, here = self._asked, np.full(self._mesh.size, self._ask(), np.int32)
        self._asked = self._highest(to_devices(here, sharded(self._mesh)))
        return former is not None and bool(jax.device_get(former))
