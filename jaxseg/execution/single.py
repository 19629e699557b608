"""One run in this process, with a live view: what `launch/train.py` does."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from jaxseg.config import RANDOM, Locations, RunConfig
from jaxseg.datasets.fitting import check_fits
from jaxseg.datasets.unchanged import check_unchanged, fingerprints
from jaxseg.errors import StoppedError
from jaxseg.execution.complete import complete
from jaxseg.models.receipt import Receipt
from jaxseg.run_folder import RunFolder
from jaxseg.training.checkpoints import Checkpoints
from jaxseg.training.progress import live_view
from jaxseg.training.run import TrainOptions


def run_single(
    run: RunConfig,
    out: Path,
    places: Locations,
    test_datasets: tuple[str, ...],
    should_stop: Callable[[], bool],
    options: TrainOptions,
) -> RunFolder:
    """Complete `run` in `<out>/runs/<run id>` and return its folder.

    Raises:
        InputError, UsageError: see `check_ready`; nothing has been written then.
        UsageError: another process holds the run.
        StoppedError: `should_stop` turned true; repeating the call resumes.
    """
    check_ready(run, out, places, test_datasets)
    if should_stop():  # while libraries were imported
        raise StoppedError(f"{run.run_id}: stopped before it went on; repeat the command to resume")
    folder = RunFolder.of(out, run)
    with folder.held(), live_view(run.run_id) as on_step:
        options = dataclasses.replace(options, on_step=on_step)
        complete(folder, run, test_datasets, places.data, places.weights, should_stop, options)
    return folder


def check_ready(run: RunConfig, out: Path, places: Locations, test_datasets: tuple[str, ...]) -> None:
    """Refuse data and weights that what is left of the run cannot use; a finished run needs none.

    Raises:
        InputError: they are not there, damaged, weights of another ResNet, or not the data that the run was trained on.
        UsageError: no such dataset, or one that does not fit the run.
    """
    folder = RunFolder.of(out, run)
    check_unchanged(folder, fingerprints(places.data))
    if folder.is_done(test_datasets):
        return
    scored, trained = folder.tested_on(), Checkpoints(folder.checkpoints).ended
    needed = [name for name in test_datasets if name not in scored]
    check_fits(run, needed if trained else [run.dataset, *needed], places.data, folder.class_names())
    if not trained and run.weights != RANDOM:
        weights = places.weights / run.weights
        Receipt.read(weights).check_fits(run.recipe.model, weights)
