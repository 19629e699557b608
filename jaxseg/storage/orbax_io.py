"""Trees of arrays in Orbax' format. A module of its own because Orbax takes a third of a second to import."""

import logging
import threading
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as orbax
from orbax.checkpoint import v1 as ocp

from jaxseg.storage.gathering import Tree

SYSTEM_ERROR = "os_error_code="  # quoted in TensorStore's errors

# Orbax logs what its threads raise, with the traceback of each, and raises it again: of a full disk that would bury the
# command's own error under hundreds of lines.
logging.getLogger("absl").addFilter(lambda record: SYSTEM_ERROR not in record.getMessage())

# One operation of Orbax' at a time in a process. Orbax numbers them by one counter for all threads, and what writes the
# arrays waits for the folder of whichever number is the last: while another thread begins to read, it does not wait,
# and the folder's making then deletes what it finds written there.
_alone = threading.Lock()


def write(folder: Path, host: Tree) -> None:
    """Write a tree of NumPy arrays as `folder`, which must not exist.

    Any thread may call this and `read`; they wait for each other.
    Where several processes compute together, one writes by itself, which only `Checkpointer` allows.
    """
    if jax.process_count() == 1:
        with _alone:
            ocp.save(folder, host)
        return
    options = orbax.options.MultiprocessingOptions(**_by_itself())
    handler = orbax.PyTreeCheckpointHandler(multiprocessing_options=options)
    with _alone, orbax.Checkpointer(handler, multiprocessing_options=options) as checkpointer:
        checkpointer.save(folder, host)


def read(folder: Path) -> Tree:
    """What was written, as NumPy arrays; of a damaged folder many types of errors."""
    if jax.process_count() == 1:
        with _alone:
            return ocp.load(folder)
    context = ocp.Context()
    for name, value in _by_itself().items():
        setattr(context.multiprocessing, name, value)
    with _alone, context:
        return ocp.load(folder)


def _by_itself() -> dict[str, Any]:
    """Orbax's options for a process that waits for no other."""
    here = jax.process_index()
    return {"primary_host": here, "active_processes": {here}, "barrier_sync_key_prefix": f"process-{here}"}
