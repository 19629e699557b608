"""What a process does before it imports JAX to compute with it."""

import ctypes

from jaxseg.execution import compile_cache

# glibc's malloc.h
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
TOP_PAD_BYTES = 64 << 20


def prepare_process() -> None:
    """Turn the compilation cache on, and keep freed memory.

    Raises:
        InputError: the cache's folder is not safe to run code from.
    """
    compile_cache.enable()
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let the C library give freed memory to later allocations rather than back to the system.

    A training step on a CPU needs hundreds of megabytes for a second; taking them anew from the system each time costs
    a tenth of the step in page faults. Does nothing where the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    never = -1
    for parameter, value in ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, never), (TOP_PAD, TOP_PAD_BYTES)):
        library.mallopt(parameter, value)
