"""TensorBoard's event files, of tensorboardX's parts.

Not by its `SummaryWriter`, which writes in a thread of its own: what fails there, as on a full disk, ends that thread
and is told to nobody. And without PyTorch, which tensorboardX imports wherever it is installed, for tensors that it is
never given here; that would cost every worker seconds and memory, and PyTorch is to be needed by conversion alone, so
it is hidden during that import.
"""

import contextlib
import math
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 30  # after which what was written goes to the disk, for those who look on


@contextlib.contextmanager
def _hidden(module: str) -> Iterator[None]:
    former = sys.modules.pop(module, None)
    sys.modules[module] = None  # type: ignore[assignment]  # makes its import an ImportError
    try:
        yield
    finally:
        del sys.modules[module]
        if former is not None:
            sys.modules[module] = former


with _hidden("torch"):
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.record_writer import RecordWriter
    from tensorboardX.summary import scalar

VERSION = "brain.Event:2"  # of the format; a file begins with it


class Scalars:
    """A file of scalars in a folder that TensorBoard reads; raises OSError where it cannot be written."""

    def __init__(self, folder: Path, purge_step: int) -> None:
        """TensorBoard hides what other files of the folder tell of `purge_step` and later steps."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._records = RecordWriter(str(folder / name))
        self._flushed = -math.inf
        self._write(0, file_version=VERSION)
        self._write(purge_step, file_version=VERSION)
        self._write(purge_step, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, values: dict[str, float]) -> None:
        """One point of each curve."""
        for name, value in values.items():
            self._write(step, summary=scalar(name, value))
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._records.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        try:
            self._records.flush()
        finally:
            self._records.close()

    def _write(self, step: int, **content: Any) -> None:
        self._records.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())
