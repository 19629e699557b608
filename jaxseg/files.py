"""Files that are either whole or absent: written aside, flushed, renamed."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from jaxseg.errors import InputError, UnreadableError, UsageError

T = TypeVar("T")
# Errors that tell of what lies there; others, such as a permission or a disk that fails, tell nothing of it.
OF_CONTENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def of_system(error: BaseException) -> TypeGuard[OSError]:
    """Whether the system did not let us have a file, which says nothing of what it holds."""
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, OF_CONTENT)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_AGAIN = "then repeat the command; a training that was begun resumes"
_REMEDIES = {
    errno.ENOSPC: f"free some space or choose another folder, {_AGAIN}",
    errno.EDQUOT: f"your quota is used up: free some space, {_AGAIN}",
    errno.EFBIG: f"files may not be as large here: raise the limit (ulimit -f) or choose another folder, {_AGAIN}",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EEXIST: "a file is in the way: choose another folder, or move the file away",
    errno.ENOTDIR: "a part of this path is a file: choose another folder, or move the file away",
    errno.EISDIR: "a folder is in the way: choose another name",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ELOOP: "a link leads to itself: remove it, or choose another folder",
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of a file that is written, such as "disk full", into an error that says what to do."""
    try:
        yield
    except BrokenPipeError:
        raise  # of a pipe, not of a file
    except OSError as error:
        if error.errno is None:
            raise  # a library's own
        remedy = _REMEDIES.get(error.errno, f"see to what the system says or choose another folder, {_AGAIN}")
        raise InputError(f"cannot be written: {os.strerror(error.errno)}", file=path, remedy=remedy) from error


@contextlib.contextmanager
def lock_errors(file: Path) -> Iterator[None]:
    """Turn "no locks here" into an error that says what to do; that another process holds the lock passes."""
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        remedy = "choose a folder on a file system with locks (of Lustre, one that is mounted with the option flock)"
        problem = f"cannot be locked: {os.strerror(error.errno or 0)}"
        raise InputError(problem, file=file, expected="flock, as on local disks and NFS", remedy=remedy) from error


@contextlib.contextmanager
def locked(file: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock, which dies with its holder; yields False where another process has it and is not waited for."""
    with disk_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            with lock_errors(file):
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def check_may_be_folder(path: Path) -> None:
    """`InputError` where a file is in the way of a folder that is not there yet; told without making it."""
    with disk_errors(path):
        nearest = next(above for above in (path, *path.absolute().parents) if above.exists())
    if not nearest.is_dir():
        remedy = "choose another folder, or move the file away"
        raise InputError("is a file", file=nearest, expected=f"a folder, for {path}", remedy=remedy)


@contextlib.contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn "permission denied" into an error that says of which file or folder, `path` where the system does not."""
    try:
        yield
    except PermissionError as error:
        raise unreadable(Path(error.filename or path), error) from error


def _aside(path: Path) -> Path:
    """Where a file or folder is written until it is whole; of a long name only the start, lest it be too long."""
    return path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.part")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: readers see the former content or the new one, never a part."""
    aside = _aside(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # which would hide the first one
                aside.unlink()
            raise


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def unreadable(path: Path, error: OSError) -> UnreadableError:
    """What is told where the system does not let us read a file."""
    remedy = "nothing is known to be wrong with its content: see to what the system says, then repeat the command"
    said = os.strerror(error.errno) if error.errno else error
    return UnreadableError(f"cannot be read: {said}", file=path, remedy=remedy)


def read_json(path: Path, *, remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        UnreadableError: the system does not let us.
        InputError: with `remedy`: it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError("no such file", file=path, remedy=remedy) from None
    except (ValueError, *OF_CONTENT) as error:
        raise InputError(f"cannot be read as JSON: {error}", file=path, remedy=remedy) from error
    except OSError as error:
        raise unreadable(path, error) from error


def read_value(path: Path, make: Callable[[Any], T], *, what: str, remedy: str) -> T:
    """What `make` makes of a JSON file's content.

    Args:
        make: raises KeyError, TypeError, ValueError, AttributeError or `UsageError` where it cannot.
        what: it makes, for the message, such as "a card".

    Raises:
        InputError: the file is missing, is not JSON, or `make` cannot use it.
    """
    value = read_json(path, remedy=remedy)
    try:
        return make(value)
    except UsageError as error:
        details = {"found": error.found, "expected": error.expected}
        raise InputError(f"is not {what}: {error.problem}", file=path, remedy=remedy, **details) from error
    except KeyError as error:
        raise InputError(f"is not {what}: it lacks {error}", file=path, remedy=remedy) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"is not {what}: {error}", file=path, remedy=remedy) from error


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder aside that becomes `path` when the block succeeds and vanishes when it does not.

    A folder that stands at `path` already is replaced; between the two renames `path` is absent, never half.
    """
    aside = _aside(path)
    with disk_errors(path):
        try:
            aside.mkdir(parents=True)
            yield aside
            if path.exists():
                former = aside.with_suffix(".former")
                path.replace(former)
                aside.replace(path)
                shutil.rmtree(former)
            else:
                aside.replace(path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
