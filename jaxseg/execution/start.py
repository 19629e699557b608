"""What a process does before it imports JAX to compute with it."""

import gc

from jaxseg.execution import compile_cache
from jaxseg.heap import keep_freed_memory

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


def look_for_garbage_rarely() -> None:
    """Let Python's collector look for cycles of dead objects after as many new ones as importing JAX makes.

    By default it looks four hundred times, half a second, while libraries are imported and steps are traced, which make
    objects to stay. What is not part of a cycle, such as an array, goes when its last user does, as ever.
    """
    gc.set_threshold(*GARBAGE)
