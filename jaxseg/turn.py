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
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    try:
        end = time.monotonic() + patience
        while not _locked(descriptor) and time.monotonic() < end:
            time.sleep(0.05)
        yield
        with contextlib.suppress(OSError):
            file.unlink()
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
