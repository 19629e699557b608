"""A run trained by several processes: the first holds it, shows it and writes it, all compute it."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from jaxseg.config import Locations, RunConfig
from jaxseg.errors import StoppedError
from jaxseg.run_folder import RunFolder
from jaxseg.training.checkpoints import Checkpoints
from jaxseg.training.processes import end_without_the_others, from_first, leads, leave, lost_another
from jaxseg.training.progress import OnStep, live_view
from jaxseg.training.run import TrainOptions, training

LOST = "another process of this run has ended: see what it said, then repeat the command in all of them to resume"


def train_together(
    run: RunConfig, folder: RunFolder, places: Locations, should_stop: Callable[[], bool], options: TrainOptions
) -> None:
    """Train `run` to its end, unless it is trained; afterwards the processes have left each other.

    Raises:
        UsageError: somebody else is at this run.
        StoppedError: `should_stop` turned true in one of the processes; all of them raise it.

    Where a computation fails because another process was lost, this one ends at once, as `LOST` says. JAX aborts it
    with a message of its own where it notices first, as it often does when the first process is lost.
    """
    with _held(folder) as held, _view(run) as on_step:
        held, trained = from_first(np.array([held, Checkpoints(folder.checkpoints).ended]))
        if not held:
            raise folder.taken()
        try:
            if not trained:
                options = dataclasses.replace(options, on_step=on_step)
                with training(folder, run, places.data, places.weights, should_stop, options):
                    pass  # the first process scores when all have left each other
        except StoppedError:
            leave()
            raise
        except (ValueError, RuntimeError) as error:  # JAX raises either
            if lost_another(error):
                end_without_the_others(f"{error}\n{LOST}")
            raise
    leave()


@contextlib.contextmanager
def _held(folder: RunFolder) -> Iterator[bool]:
    if not leads():
        yield True
        return
    with folder.hold() as held:
        yield held


@contextlib.contextmanager
def _view(run: RunConfig) -> Iterator[OnStep]:
    if not leads():
        yield lambda step, total, line: None
        return
    with live_view(run.run_id) as on_step:
        yield on_step
