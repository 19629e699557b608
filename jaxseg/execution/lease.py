"""The lease of a study: held by one sweep, watched by everything that the sweep starts.

`<study>/.sweep.lock` is locked (flock) as long as the sweep lives; the kernel frees it however the sweep ends. Its
first line names the sweep by a random token. A line "stop" after it asks the workers to save and end; "end" with the
name of its log tells a guarded command to end at once. Whoever works for a sweep polls the file: lock free, another
token, or no file means that the sweep is gone.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jaxseg.errors import UsageError
from jaxseg.files import disk_errors, lock_errors

FILE_NAME = ".sweep.lock"
BEAT = 5.0  # seconds between signs of life for watchers on other hosts
GRACE = 3.0  # seconds in which what works for a sweep that is gone may still save
PATIENCE = 180.0  # seconds without one: file attributes on network file systems are cached for up to a minute
WATCHERS_PEEK = 3.0  # seconds to retry: a watcher's look at a free lock holds it for an instant


@dataclass(frozen=True)
class Lease:
    """A held study: where its lock lies, the token in it, the locked descriptor."""

    path: Path
    token: str
    descriptor: int

    def ask_to_stop(self) -> None:
        """Ask all workers to save and end at their next safe point."""
        self._add("stop")

    def end(self, log: Path) -> None:
        """Tell the guarded command of this log to end, with all its descendants, whatever it is at."""
        self._add(_end_of(log))

    def _add(self, line: str) -> None:
        os.pwrite(self.descriptor, f"{line}\n".encode(), os.fstat(self.descriptor).st_size)


def _end_of(log: Path) -> str:
    return f"end {log.name}"


def guarded(lease: Lease, log: Path) -> list[str]:
    """Start of a command line whose rest ends with the sweep (see `jaxseg.execution.guard`)."""
    return [sys.executable, "-m", "jaxseg.execution.guard", str(lease.path), lease.token, str(log), "--"]


@contextlib.contextmanager
def hold_study(study: Path) -> Iterator[Lease]:
    """Hold a study folder for this process; `UsageError` where another sweep holds it."""
    path = study / FILE_NAME
    with disk_errors(study):
        study.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    ended = threading.Event()
    try:
        _lock(descriptor, path)
        token = secrets.token_hex(16)
        line = json.dumps({"token": token, "host": socket.gethostname(), "pid": os.getpid()}) + "\n"
        with disk_errors(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, line.encode(), 0)
        threading.Thread(target=_beat, args=(path, ended), daemon=True, name="lease").start()
        yield Lease(path, token, descriptor)
    finally:
        ended.set()
        os.close(descriptor)


def is_held(study: Path) -> bool:
    """Whether a sweep is at work on a study; of one on another host, whether its last sign of life is fresh."""
    path = study / FILE_NAME
    try:
        holder = _read(path)
        if holder is None:
            return False
        if holder.host == socket.gethostname():
            return not Watch(path, holder.token).gone()
        return time.time() - path.stat().st_mtime < PATIENCE
    except OSError:
        return False


def _lock(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + WATCHERS_PEEK
    while True:
        try:
            with lock_errors(path):
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = None
                with contextlib.suppress(OSError):
                    holder = _read(path)
                raise UsageError(
                    "another sweep is at work on this study",
                    file=path.parent,
                    found=f"process {holder.pid} on {holder.host}" if holder else None,
                    remedy="wait for it, look at it with --status, or stop it with Ctrl-C where it runs",
                ) from None
            time.sleep(0.1)


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)


@dataclass(frozen=True)
class _Holder:
    token: str
    host: str
    pid: int
    asks: tuple[str, ...]


def _read(path: Path) -> _Holder | None:
    """None where the file tells of no sweep; `OSError` where it cannot be read."""
    try:
        first, *rest = path.read_text().splitlines()
        value = json.loads(first)
        return _Holder(value["token"], value["host"], value["pid"], tuple(rest))
    except (ValueError, KeyError, TypeError):
        return None


@dataclass
class Watch:
    """What the sweep's guards and workers see of its lease.

    Attributes:
        path: the lock file; token: of the sweep that is watched.
        patience: seconds without a sign of life after which the sweep counts as gone: of one on another host, whose
            lock may not reach here while its time stamps do, or while the file cannot be read.
    """

    path: Path
    token: str
    patience: float = PATIENCE
    _stamp: float | None = field(default=None, repr=False)  # time stamp seen last
    _alive: float = field(default_factory=time.monotonic, repr=False)  # when there was a sign of life

    def gone(self) -> bool:
        """True when the sweep has ended, however it ended."""
        try:
            holder = _read(self.path)
            if holder is None or holder.token != self.token:
                return True
            if holder.host == socket.gethostname():
                if self._lock_is_free():
                    return True
                self._alive = time.monotonic()
            elif (stamp := self.path.stat().st_mtime) != self._stamp:
                self._stamp, self._alive = stamp, time.monotonic()
        except FileNotFoundError:
            return True
        except OSError:
            pass  # of a network file system that does not answer, which may pass
        return time.monotonic() - self._alive > self.patience

    def stopping(self) -> bool:
        """True when the sweep asks to stop or is gone."""
        return self._asks("stop") or self.gone()

    def told_to_end(self, log: Path) -> bool:
        """True when the sweep, which lives, tells the guarded command of this log to end."""
        return self._asks(_end_of(log))

    def _asks(self, line: str) -> bool:
        holder = None
        with contextlib.suppress(OSError):
            holder = _read(self.path)
        return holder is not None and holder.token == self.token and line in holder.asks

    def _lock_is_free(self) -> bool:
        try:
            with self.path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
