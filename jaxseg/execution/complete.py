"""One run from nothing to DONE.json: train or resume, score, say what was done."""

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxseg.compute.host import usable_cores
from jaxseg.config import RunConfig
from jaxseg.errors import InputError, StoppedError
from jaxseg.evaluation.scoring import about_tests, missing_scores, write_scores
from jaxseg.execution import failing_gpus, speeds
from jaxseg.execution.resources import RUNS_PER_GPU
from jaxseg.files import write_json
from jaxseg.inference.trained import TrainedModel, keep_encoder, load
from jaxseg.run_folder import RunFolder, budget_name
from jaxseg.training.checkpoints import Checkpoints, Models
from jaxseg.training.journal import median_speed
from jaxseg.training.run import TrainOptions, training

__all__ = ["complete", "keep_encoder"]


def complete(
    folder: RunFolder,
    run: RunConfig,
    test_datasets: tuple[str, ...],
    data_dir: Path,
    weights_dir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    options: TrainOptions = TrainOptions(),  # noqa: B008 - frozen
) -> None:
    """Bring a run to its end; the caller holds the folder's lock. A run that is done already is left alone.

    A finished run that lacks scores of some test datasets is scored anew without being trained again.

    Raises:
        InputError: data or weights are missing or bad.
        DeviceError: a GPU failed.
        StoppedError: `should_stop` turned true; repeating the call resumes.
    """
    if folder.is_done(test_datasets):
        return
    tested = tuple(dict.fromkeys((*folder.tested_on(), *test_datasets)))
    checkpoints, trained = Checkpoints(folder.checkpoints), None
    with failing_gpus.told():
        with contextlib.ExitStack() as stack:
            if not checkpoints.ended:
                trained = stack.enter_context(training(folder, run, data_dir, weights_dir, should_stop, options))
            if should_stop():
                raise StoppedError(f"{run.run_id}: trained, not scored yet; repeat the command to resume")
            scores = missing_scores(folder, tested, data_dir, functools.partial(_opened, folder, run, trained))
        write_scores(folder, scores)  # not before the models that they are of are on the disk
        scored_anew = trained is None and folder.done.exists()  # maybe on another device than it was trained on
        about = folder.read_done() if scored_anew else _about_training(folder, run)
        write_json(folder.done, about | about_tests(folder, tested, data_dir))
        if trained is not None and _had_a_device_alone(options):
            speeds.remember(run.recipe, jax.devices()[0].device_kind, usable_cores(), median_speed(folder))
        checkpoints.finish()


def _had_a_device_alone(options: TrainOptions) -> bool:
    """Whether its speed is that of one device and one run on it."""
    return (options.devices or jax.device_count()) == 1 and os.environ.get(RUNS_PER_GPU, "1") == "1"


def _opened(folder: RunFolder, run: RunConfig, trained: Models | None, budget: int) -> TrainedModel:
    """The model of an epoch budget, from memory where its training ended just now."""
    name = budget_name(budget, run.recipe.budgets[-1])
    if trained is None or name not in trained:
        return load(folder.path, budget)
    tree, about = trained[name]
    return TrainedModel(run, folder.read_weights(), about, tree["params"], tree["stats"])


def _last_line(folder: RunFolder) -> dict[str, Any]:
    """Of the log of a run that is trained to its end."""
    if lines := folder.read_log():
        return lines[-1]
    remedy = f"delete {folder.path} and repeat the command, which makes this run again"
    raise InputError(
        "has lost what the training told", file=folder.log, expected="a line per validation", remedy=remedy
    )


def _about_training(folder: RunFolder, run: RunConfig) -> dict[str, Any]:
    """What DONE.json tells of a training that ended in this process, or was only left to be scored."""
    last = _last_line(folder)
    return {
        "run_id": run.run_id,
        "steps": last["step"],
        "epochs": run.recipe.budgets[-1],
        "seconds": last["seconds"],
        "images_per_second": median_speed(folder),
        "best_validation_loss": last["best_validation_loss"],
        "device": jax.devices()[0].device_kind,
        "cores": usable_cores(),
    }
