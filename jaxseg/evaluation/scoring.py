"""Scores a run on test datasets: one row per epoch budget, test dataset and image. Never only a mean."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxseg.errors import UsageError
from jaxseg.evaluation.metrics import count
from jaxseg.files import read_json, write_bytes, write_json
from jaxseg.inference.sliding_window import SlidingWindow
from jaxseg.inference.trained import TrainedModel, load
from jaxseg.run_folder import RunFolder
from jaxseg.training.run import load_dataset

THRESHOLD = 0.5


def score_run(folder: RunFolder, test_datasets: tuple[str, ...], data_dir: Path) -> None:
    """Write `scores.parquet`: every budget's best model on the test images of every dataset.

    What is scored already is kept; only the missing test datasets are run.
    """
    run, known = folder.config(), _known(folder)
    missing = [name for name in test_datasets if name not in set(known.get("tested_on", ()))]
    rows = [
        row
        for budget in run.recipe.budgets
        for name in missing
        for row in score(load(folder.path, budget), budget, name, data_dir)
    ]
    if rows:
        table = pd.concat([known, pd.DataFrame(rows)], ignore_index=True)
        write_bytes(folder.scores, table.to_parquet(index=False))


def score_more(folder: RunFolder, test_datasets: tuple[str, ...], data_dir: Path) -> None:
    """Score a finished run on further datasets and note them in DONE.json."""
    remedy = "finish the run first: repeat the command that began it"
    folder.config()
    done = read_json(folder.done, remedy=remedy)
    missing = [name for name in test_datasets if name not in done["test_datasets"]]
    if not missing:
        return
    with folder.hold() as held:
        if not held:
            raise UsageError("another process is at this run", file=folder.path, remedy="wait for it")
        score_run(folder, tuple(missing), data_dir)
        write_json(folder.done, {**done, "test_datasets": [*done["test_datasets"], *missing]})


def summarise(folder: RunFolder) -> str:
    """Mean scores over the images, a line per budget and test dataset."""
    table = pd.read_parquet(folder.scores)
    means = table.groupby(["tested_on", "budget"]).agg(
        dice=("dice", "mean"), jaccard=("jaccard", "mean"), images=("image", "count")
    )
    return str(means.round(4).to_string())


def _known(folder: RunFolder) -> pd.DataFrame:
    return pd.read_parquet(folder.scores) if folder.scores.exists() else pd.DataFrame()


def score(
    model: TrainedModel, budget: int, name: str, data_dir: Path, *, crop: int | None = None, stride: int | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of one model on the test images of one dataset, at probability 0.5.

    Args:
        crop, stride: of the windows, pixels; the recipe's where not given.
    """
    run, images = model.run, load_dataset(name, data_dir).test
    recipe = run.recipe
    window = SlidingWindow(recipe.model, crop or recipe.crop, stride or recipe.stride, recipe.compute_dtype)
    predictions = window(model.params, model.stats, images.pixels, images.sizes, model.statistics)
    for number, predicted in enumerate(predictions):
        height, width = images.sizes[number]
        truth = images.masks[number, :height, :width]
        counts = count(_foreground(predicted), truth > 0)
        yield {
            "trained_on": run.dataset,
            "weights": run.weights,
            "fraction": run.fraction,
            "repeat": run.repeat,
            "budget": budget,
            "tested_on": name,
            "subset": images.subsets[number],
            "image": images.ids[number],
            "patient": images.patients[number],
            "dice": counts.dice,
            "jaccard": counts.jaccard,
            **counts._asdict(),
        }


def _foreground(predicted: np.ndarray) -> np.ndarray:
    """Pixels (h, w) whose foreground classes together reach the threshold."""
    return predicted.sum(-1) >= THRESHOLD
