"""One run in this process, with a live view: what `launch/train.py` does."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from jaxseg.config import Locations, RunConfig
from jaxseg.errors import UsageError
from jaxseg.execution.complete import complete
from jaxseg.run_folder import RunFolder
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
        UsageError: another process holds the run.
    """
    folder = RunFolder.of(out, run)
    with folder.hold() as held:
        if not held:
            raise UsageError("another process is at this run", file=folder.path, remedy="wait for it, or stop it")
        with live_view(run.run_id) as on_step:
            options = dataclasses.replace(options, on_step=on_step)
            complete(folder, run, test_datasets, places.data, places.weights, should_stop, options)
    return folder
