"""Parsl's interchange, which ends with the guard that started it: it watches nobody, and would stay for ever.

    python -m jaxseg.execution.interchange

A `kill -9` of a sweep's process group takes the guard with it. Parsl's pools need no such care: their guards are in
groups of their own, and they end by themselves once their interchange is gone.
"""

import runpy

from jaxseg.execution.processes import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__", alter_sys=True)
