"""Work for the benchmarks' processes that tells where it may run, and how much of a GPU it may take, or that fails."""

import os
from typing import Any

from benchmarks.turns import Turn


def cores(setting: dict[str, Any]) -> Turn:
    """A turn that gives the sum of the numbers of the cores it may run on, in place of seconds."""
    return lambda: float(sum(os.sched_getaffinity(0)))


def memory_share(setting: dict[str, Any]) -> Turn:
    """A turn that gives the part of a GPU's memory that JAX would take, in place of seconds."""
    from jaxlib import xla_client

    options = xla_client.generate_pjrt_gpu_plugin_options()
    return lambda: float(options["memory_fraction"])


def second_turn_fails(setting: dict[str, Any]) -> Turn:
    """A turn that can be taken once."""
    return iter([1.0]).__next__
