"""What a process does before it imports JAX to compute with it."""

import ctypes
import gc

from jaxseg.execution import compile_cache

# glibc's malloc.h
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
TOP_PAD_BYTES = 64 << 20
# Python's collector: objects more than at the last look, and how many looks at the young make one at the older.
GARBAGE = 100_000, 50, 100


def prepare_process() -> None:
    """Turn the compilation cache on, keep freed memory, and look for garbage less often.

    Raises:
        InputError: the cache's folder is not safe to run code from.
    """
    compile_cache.enable()
    keep_freed_memory()
    look_for_garbage_rarely()


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


def look_for_garbage_rarely() -> None:
    """Let Python's collector look for cycles of dead objects after as many new ones as importing JAX makes.

    By default it looks four hundred times, half a second, while libraries are imported and steps are traced, which make
    objects to stay. What is not part of a cycle, such as an array, goes when its last user does, as ever.
    """
    gc.set_threshold(*GARBAGE)
