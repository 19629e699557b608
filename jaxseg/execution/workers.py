"""Parsl's pool of workers, each with cores of its own where its host has enough of them.

    python -m jaxseg.execution.workers ARGUMENTS OF PARSL'S POOL

That is settled here, on the host of the workers: a cluster's node has other cores than the host of the sweep, and where
they are fewer than the workers, Parsl's workers would end, and begin again, for ever.
"""

import os
import sys

from jaxseg.compute.host import usable_cores

POOL = "parsl.executors.high_throughput.process_worker_pool"
AFFINITY, WORKERS = "--cpu-affinity", "--max_workers_per_node="
OWN, ANY = "block", "none"  # cores of a worker, as Parsl says it


def suited(arguments: list[str], cores: int) -> list[str]:
    """The arguments, or those for workers on any core where they are more than the cores."""
    (workers,) = (int(each.removeprefix(WORKERS)) for each in arguments if each.startswith(WORKERS))
    if workers <= cores or AFFINITY not in arguments:
        return arguments
    place = arguments.index(AFFINITY) + 1
    return [*arguments[:place], ANY, *arguments[place + 1 :]]


if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, "-m", POOL, *suited(sys.argv[1:], usable_cores())])
