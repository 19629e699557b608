"""Train one run: python launch/train.py --dataset glas --weights ssl_pathology --fraction 0.1 --repeat 0

The run's folder is <out>/runs/<run id>. Repeating the command resumes a run that was stopped and leaves a finished
one alone. `--recipe.*` options change model and training, for instance --recipe.model.width 0.125 --recipe.batch 8.

On several hosts, one process each, of which the first writes the folder of the run:
    srun python launch/train.py --distributed --dataset glas ...

or, without a scheduler, on each host:
    python launch/train.py --distributed --coordinator HOST0:1234 --processes 2 --process-id 0 --dataset glas ...
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from jaxseg.command import StopRequest, command
from jaxseg.config import RANDOM, Locations, Recipe, RunConfig
from jaxseg.errors import UsageError
from jaxseg.execution.one_graph import ONE_GRAPH
from jaxseg.execution.start import prepare_process
from jaxseg.run_folder import RunFolder


@dataclass(frozen=True)
class Flags:
    """Options of the command.

    Attributes:
        dataset: prepared dataset to train on.
        weights: converted weights to start from, or "random".
        fraction: part of the training images, above 0, at most 1.
        repeat: number of the repeat; decides split, decoder initialisation and crops.
        test: datasets to score the run on; the training dataset where none is given.
        out: folder whose runs/<run id> becomes the run; that of a study will do.
        data_dir: prepared datasets (else JAXSEG_DATA, else ./data).
        weights_dir: converted weights (else JAXSEG_WEIGHTS, else ./weights).
        devices: accelerators to share each batch over; all of them where not given.
        stack: where the images lie during training.
        checkpoint_seconds: time between two checkpoints to resume from.
        distributed: train together with the processes that this command was started in on other hosts.
        coordinator: host:port of the first process; not needed under Slurm or Open MPI, nor are the next two.
        processes: how many there are.
        process_id: which of them this is, from 0.
    """

    dataset: str
    weights: str = RANDOM
    fraction: float = 1.0
    repeat: int = 0
    recipe: Recipe = field(default_factory=Recipe)
    test: tuple[str, ...] = ()
    out: Path = Path("studies/single")
    data_dir: Path | None = None
    weights_dir: Path | None = None
    devices: int | None = None
    stack: Literal["auto", "device", "host"] = "auto"
    checkpoint_seconds: float = 300.0
    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None

    def __post_init__(self) -> None:
        if not self.distributed and (self.coordinator, self.processes, self.process_id) != (None, None, None):
            raise UsageError("--coordinator, --processes and --process-id go with --distributed", remedy="add it")
        if self.coordinator is not None and not re.fullmatch(r".+:\d+", self.coordinator):
            remedy = "name the first process's host and a port that is free there"
            raise UsageError("bad value for --coordinator", found=self.coordinator, expected="HOST:PORT", remedy=remedy)


def main() -> None:
    should_stop = StopRequest()  # before libraries are imported, which takes seconds
    flags = tyro.cli(Flags, description=__doc__)
    if flags.distributed:  # they compile together, which needs the same options in all of them
        os.environ[ONE_GRAPH] = "0"
    prepare_process(flags.recipe)
    run = RunConfig(flags.dataset, flags.weights, flags.fraction, flags.repeat, flags.recipe)
    places = Locations.choose(flags.data_dir, flags.weights_dir)
    from jaxseg.evaluation.scoring import summarise
    from jaxseg.execution.single import check_ready, run_single
    from jaxseg.training.processes import devices_in_all, join, leads, will_lead
    from jaxseg.training.run import TrainOptions
    from jaxseg.training.together import train_together

    options = TrainOptions(flags.devices, flags.stack, flags.checkpoint_seconds)
    test = flags.test or (flags.dataset,)
    if flags.distributed:
        # in each process, so that none waits for one that was refused; the first one alone scores
        check_ready(run, flags.out, places, test if will_lead(flags.process_id) else ())
        should_stop.release()  # joining waits where Python does not look at signals
        join(flags.coordinator, flags.processes, flags.process_id)
        should_stop = StopRequest()
        if leads():
            print(devices_in_all(), flush=True)
        train_together(run, RunFolder.of(flags.out, run), places, should_stop, options)
    if leads():
        folder = run_single(run, flags.out, places, test, should_stop, options)
        print(f"{folder.path}\n{summarise(folder)}")


if __name__ == "__main__":
    command(main)
