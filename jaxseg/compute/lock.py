"""Processes that take turns: one at a time does what the others then need not do."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def turn(file: Path, patience: float) -> Iterator[None]:
    """The only process in its block, after those that came before; the lock dies with its holder.

    Where one takes longer than it may, or files cannot be locked, this one goes on beside it: what is guarded must be
    right even so. The file is gone after a block that ends without an error, so whoever waited has to look first
    whether the work is done.

    Args:
        file: that is locked; its folder is there.
        patience: seconds to wait.
    """
    descriptor = _opened(file)
    try:
        held = descriptor is not None and _locked(descriptor, time.monotonic() + patience)
        yield
        if held:
            with contextlib.suppress(OSError):
                file.unlink()
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(file: Path) -> int | None:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None


def _locked(descriptor: int, end: float) -> bool:
    """Whether the lock was had before the clock told `end`."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
        except OSError:  # a file system without locks
            return False
        else:
            return True
