"""Work for the benchmarks' processes that tells where it may run."""

import os
from typing import Any

from benchmarks.turns import Turn


def cores(setting: dict[str, Any]) -> Turn:
    """A turn that gives the sum of the numbers of the cores it may run on, in place of seconds."""
    return lambda: float(sum(os.sched_getaffinity(0)))
