"""What a process does before it imports JAX to compute with it."""

import gc
import os

from jaxseg.compute import first_touch
from jaxseg.compute.heap import keep_freed_memory
from jaxseg.compute.host import usable_cores
from jaxseg.config import Recipe
from jaxseg.execution import compile_cache, one_graph
from jaxseg.execution.footprint import check_memory, first_step_bytes
from jaxseg.execution.resources import computes_on_cpu

# Python's collector: objects more than at the last look, and how many looks at the young make one at the older.
GARBAGE = 100_000, 50, 100
PLATFORMS = "JAX_PLATFORMS"  # that JAX may use, the first of them for all that is not said otherwise


def prepare_process(recipe: Recipe | None = None) -> None:
    """Turn the compilation cache on, keep freed memory on CPUs, and look for garbage less often.

    Args:
        recipe: of the run that the process will begin with, if it trains. On CPUs a core that imports leave idle
            touches the memory for its first step; on GPUs it is settled how they take a step.

    Raises:
        UsageError: the recipe needs far more memory than a host without GPUs has.
        InputError: the cache's folder is not safe to run code from.
    """
    if recipe is not None and computes_on_cpu():
        check_memory(recipe)
    keep_cpu_in_reach()
    compile_cache.enable()
    if computes_on_cpu():
        keep_freed_memory()
    look_for_garbage_rarely()
    if recipe is not None:
        one_graph.settle()
    if recipe is not None and computes_on_cpu() and usable_cores() > 1:
        first_touch.begin(first_step_bytes(recipe))


def keep_cpu_in_reach() -> None:
    """Where JAX_PLATFORMS names accelerators alone, let JAX use the CPU for what goes before their work.

    That is where crops are cut of images that they have no room for.
    """
    named = os.environ.get(PLATFORMS, "")
    if named and "cpu" not in named.split(","):
        os.environ[PLATFORMS] = f"{named},cpu"


def look_for_garbage_rarely() -> None:
    """Let Python's collector look for cycles of dead objects after as many new ones as importing JAX makes.

    By default it looks four hundred times, half a second, while libraries are imported and steps are traced, which make
    objects to stay. What is not part of a cycle, such as an array, goes when its last user does, as ever.
    """
    gc.set_threshold(*GARBAGE)
