"""Run a study: `python launch/sweep.py configs/paper_glands.py --out studies/glands`. Repeating it resumes."""

import dataclasses
import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from jaxseg.command import StopRequest, command
from jaxseg.config import Locations, load_study
from jaxseg.console import Console
from jaxseg.errors import StoppedError, UsageError
from jaxseg.execution import compile_cache, listing, pool
from jaxseg.execution.footprint import memory_needed
from jaxseg.execution.plan import check_can_start, check_same_study, make_plan
from jaxseg.execution.resources import check_usable, choose, unused_gpus
from jaxseg.execution.slurm import Slurm
from jaxseg.execution.sweep import Sweep


@dataclass(frozen=True)
class Flags:
    """Run a study over weights, datasets, fractions and repeats; what is done is skipped, what is begun resumes."""

    config: tyro.conf.Positional[Path]
    """Python file with get_study(), such as configs/paper_glands.py."""
    out: Path
    """Folder of the study; its runs, tables, figures and report go there."""
    data_dir: Path | None = None
    """Prepared datasets (else JAXSEG_DATA, else ./data)."""
    weights_dir: Path | None = None
    """Converted weights (else JAXSEG_WEIGHTS, else ./weights)."""
    dry_run: bool = False
    """List the runs, what is missing, disk and time; write nothing."""
    status: bool = False
    """List the runs and how far they are; write nothing."""
    report: bool = True
    """Write tables, figures and report.html at the end."""
    gpus: str | None = None
    """GPUs of a host, such as 0,1,2,3, or none; by default all that JAX can use."""
    runs_per_gpu: int = 1
    """Runs that share one GPU and its memory."""
    workers: int | None = None
    """Runs at once on a CPU; by default as many as end the study soonest and find enough memory."""
    executor: Literal["local", "slurm"] = "local"
    """This host, or a Slurm cluster that shares the folders with it."""
    slurm: Slurm = field(default_factory=Slurm)
    """Where to run on the cluster."""

    def __post_init__(self) -> None:
        if self.executor == "slurm" and (self.gpus is None or (self.gpus == "none" and self.workers is None)):
            raise UsageError(
                "what a node of the cluster has is not known here",
                remedy="--gpus 0,1,2,3 for nodes of four GPUs, or --gpus none --workers 8",
            )
        if self.executor != "slurm" and self.slurm != Slurm():
            remedy = "add --executor slurm, or leave them out"
            raise UsageError("--slurm options are for a cluster", found=f"--executor {self.executor}", remedy=remedy)


def main() -> None:
    should_stop = StopRequest()
    flags = tyro.cli(Flags, description=__doc__)
    study = load_study(flags.config)
    folder = flags.out.absolute()
    locations = Locations.choose(flags.data_dir, flags.weights_dir)
    run_bytes = memory_needed(study, locations.data)
    slurm = flags.slurm if flags.executor == "slurm" else None
    resources = choose(flags.gpus, flags.runs_per_gpu, flags.workers, len(study.runs()), run_bytes)
    resources = dataclasses.replace(resources, nodes=slurm.nodes if slurm else None)
    if should_stop():
        raise StoppedError("stopped before it began; repeat the command to resume")
    if flags.gpus is None and (unused := unused_gpus(resources)):
        print(f"note: {unused}, or say --gpus none", file=sys.stderr)
    if flags.dry_run or flags.status:
        check_same_study(study, folder)
        plan = make_plan(study, folder, locations)
        if flags.status:
            listing.print_status(plan, Console())
        else:
            listing.print_plan(plan, resources, Console())
            check_can_start(plan)
            if plan.startable:  # else nothing would be compiled
                compile_cache.check_private()
        return
    check_usable(resources)
    open_pool = functools.partial(pool.parsl_pool, folder, resources, slurm)
    Sweep(study, folder, locations, open_pool, resources.gpus, should_stop, flags.report).run()


if __name__ == "__main__":
    command(main)
