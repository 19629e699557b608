"""JAX's compilation cache on disk: compiled once, read by every later worker. What lies in it is run as code."""

import contextlib
import os
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from jaxseg.compute import processor
from jaxseg.compute.host import usable_cores
from jaxseg.errors import InputError
from jaxseg.execution.resources import computes_on_cpu
from jaxseg.files import check_may_be_folder, disk_errors, write_text

LEAST_SECONDS = 0.02  # of compiling; what takes less is not worth a file
CHECKED = "checked.txt"  # entries that were found whole, with sizes and times
AT_WORK = 60  # seconds after which nobody writes an entry any more
SETTINGS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": str(LEAST_SECONDS),
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}


def cache_folder() -> Path:
    """JAXSEG_CACHE, or jaxseg/xla in the user's cache folder."""
    if chosen := os.environ.get("JAXSEG_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxseg" / "xla"


def check() -> Path:
    """Make the folder if it is missing; `InputError` where others could have written into it."""
    folder = cache_folder()
    with _errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_private()
    return folder


def check_private() -> None:
    """`InputError` where others could have written into the folder, or it is a file; a missing one will be made."""
    folder = cache_folder()
    with _errors(folder):
        check_may_be_folder(folder)
    if not folder.exists():
        return
    status = folder.stat()
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.getuid():
        raise InputError(
            "compilation cache belongs to another user",
            file=folder,
            found=f"user {status.st_uid}",
            expected=f"user {os.getuid()}",
            remedy="set JAXSEG_CACHE to a folder of your own",
        )
    if mode & 0o077:
        raise InputError(
            "compilation cache is open to other users, and what lies in it is run as code",
            file=folder,
            found=f"mode {mode:04o}",
            expected="mode 0700",
            remedy=f"empty it if you share this host, then: chmod 700 {folder}",
        )


@contextlib.contextmanager
def _errors(folder: Path) -> Iterator[None]:
    """What the system says, and how to choose another folder: this one was named by nobody, and may lie in a home."""
    try:
        with disk_errors(folder):
            yield
    except InputError as error:
        remedy = "set JAXSEG_CACHE to a folder of your own that can be written"
        raise InputError(f"compilation cache {error.problem}", file=folder, remedy=remedy) from error


def enable() -> Path:
    """Let JAX keep its compiled functions below the folder, in this process and its children.

    On CPUs a folder for each number of cores: XLA shares out a program's loops over those that it finds when it
    compiles, and JAX would hand what was compiled for one core to a process that has more of them. And one for each
    kind of processor: hosts that share a home folder need not understand each other's instructions.
    """
    device = f"{usable_cores()}-cores" if computes_on_cpu() else "gpu"
    folder = check() / f"{device}-{processor.kind()}"
    with _errors(folder):
        folder.mkdir(exist_ok=True, mode=0o700)
    with contextlib.suppress(OSError, InputError):  # which costs time, and no more
        _drop_damaged(folder)
    values = {**SETTINGS, "JAX_COMPILATION_CACHE_DIR": str(folder)}
    os.environ.update(values)
    if "jax" in sys.modules:  # it has read the environment already
        import jax

        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def _drop_damaged(folder: Path) -> None:
    """Delete what a killed process or a full disk left half-written, looking at each entry once.

    JAX would warn of it, compile anew at every start, and never replace it.
    """
    file, latest = folder / CHECKED, time.time() - AT_WORK
    checked = set(file.read_text(errors="replace").splitlines()) if file.exists() else set()
    states = [(entry, entry.stat()) for entry in folder.glob("*-cache")]
    names = {f"{entry.name} {at.st_size} {at.st_mtime_ns}": entry for entry, at in states if at.st_mtime < latest}
    whole = {name for name in names.keys() - checked if _is_whole(names[name])}
    for name in names.keys() - checked - whole:
        names[name].unlink(missing_ok=True)
    if whole:
        write_text(file, "\n".join(sorted(whole | (checked & names.keys()))) + "\n")


def _is_whole(entry: Path) -> bool:
    """By the checksum at its end; true of those of zstandard, which JAX takes where it is installed."""
    content = entry.read_bytes()
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        return True
    try:
        zlib.decompress(content)
    except zlib.error:
        return False
    return True
