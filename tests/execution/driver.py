"""A sweep over fake runs with real workers: python driver.py OUT DATA WORKERS [local|slurm]

FAKE_PATIENCE: seconds without a sign of life after which a pool of workers counts as lost. FAKE_ASK: seconds between
two questions to Slurm about its jobs. FAKE_GPUS: a GPU for each worker, comma-separated.
"""

import functools
import os
import sys
from pathlib import Path

from studies import small_study

from jaxseg.command import StopRequest, command
from jaxseg.config import Locations
from jaxseg.execution import pool
from jaxseg.execution.pool import parsl_pool
from jaxseg.execution.resources import Resources
from jaxseg.execution.slurm import Slurm
from jaxseg.execution.sweep import Sweep


def main() -> None:
    out, data, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    slurm = Slurm("short", "lab", "00:10:00", address="127.0.0.1") if "slurm" in sys.argv else None
    pool.PATIENCE = int(os.environ.get("FAKE_PATIENCE", pool.PATIENCE))
    if "FAKE_ASK" in os.environ:
        from parsl.providers import SlurmProvider

        SlurmProvider.status_polling_interval = float(os.environ["FAKE_ASK"])
    gpus = tuple(filter(None, os.environ.get("FAKE_GPUS", "").split(",")))
    open_pool = functools.partial(parsl_pool, out, Resources(workers, gpus), slurm)
    Sweep(
        small_study(),
        out,
        Locations(data, data),
        open_pool,
        gpus,
        should_stop=StopRequest(),
        complete="fake_program",
        analyze="fake_program",
    ).run()
    assert "jax" not in sys.modules, "the sweep itself must not import JAX"


if __name__ == "__main__":
    command(main)
