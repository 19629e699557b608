"""Scores a run on test datasets: one row per epoch budget, test dataset and image. Never only a mean."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxseg.datasets.classes import check_classes
from jaxseg.datasets.fitting import check_fits, classes_of
from jaxseg.datasets.loading import open_once
from jaxseg.datasets.unchanged import check_unchanged, fingerprints
from jaxseg.errors import InputError
from jaxseg.evaluation.metrics import count
from jaxseg.files import write_json
from jaxseg.inference.sliding_window import Group, SlidingWindow, in_groups, is_one_group
from jaxseg.inference.trained import TrainedModel, load
from jaxseg.run_folder import RunFolder


@dataclass(frozen=True)
class Scored:
    """Scores of one image: its row, and with several classes a row per class, which has a column `class` more."""

    row: dict[str, Any]
    of_classes: list[dict[str, Any]]


def score_run(folder: RunFolder, test_datasets: tuple[str, ...], data_dir: Path) -> None:
    """Write `scores.parquet`: every budget's best model on the test images of every dataset.

    What is scored already is kept; only the missing test datasets are run.
    """
    write_scores(folder, missing_scores(folder, test_datasets, data_dir, functools.partial(load, folder.path)))


def missing_scores(
    folder: RunFolder, test_datasets: tuple[str, ...], data_dir: Path, opened: Callable[[int], TrainedModel]
) -> list[Scored]:
    """Scores on those of the datasets that `scores.parquet` lacks; `opened` gives the model of an epoch budget."""
    scored = _tested_on(folder.scores)
    missing, run = [name for name in test_datasets if name not in scored], folder.config()
    class_names = _class_names(folder, data_dir)
    return [
        result
        for budget in (run.recipe.budgets if missing else ())
        for model in (opened(budget),)
        for name in missing
        for result in score(model, budget, name, data_dir, class_names=class_names)
    ]


def write_scores(folder: RunFolder, scores: list[Scored]) -> None:
    """Add to `scores.parquet` what it lacked."""
    if not scores:
        return
    from jaxseg.evaluation import table

    of_classes = [row for result in scores for row in result.of_classes]
    if of_classes:  # goes first: scores.parquet says what is scored
        table.append(folder.class_scores, of_classes, of=_tested_on(folder.scores))
    table.append(folder.scores, [result.row for result in scores])


def score_more(folder: RunFolder, test_datasets: tuple[str, ...], data_dir: Path) -> None:
    """Score a finished run on further datasets and note them in DONE.json.

    Raises:
        InputError: the run has not ended, a dataset is not prepared, or data have changed (see `check_unchanged`).
        UsageError: no such dataset, one that does not fit the run (see `check_fits`), or another process is at it.
    """
    run = folder.config()
    if not folder.done.exists():
        remedy = "finish the run first: repeat the command that began it"
        raise InputError("has not ended", file=folder.path, remedy=remedy)
    done = folder.read_done()
    missing = [name for name in test_datasets if name not in done["test_datasets"]]
    if not missing:
        return
    check_unchanged(folder, fingerprints(data_dir))
    check_fits(run, missing, data_dir, folder.class_names())
    with folder.held():
        score_run(folder, tuple(missing), data_dir)
        tested = (*done["test_datasets"], *missing)
        write_json(folder.done, done | about_tests(folder, tested, data_dir))


def about_tests(folder: RunFolder, test_datasets: tuple[str, ...], data_dir: Path) -> dict[str, Any]:
    """What DONE.json tells of the datasets that a run was scored on: names, which data they were, their classes."""
    former, prepared = folder.scored_on(), fingerprints(data_dir)
    known = {name: former.get(name) or prepared(name) for name in test_datasets}
    about = {"test_datasets": list(test_datasets), "fingerprints": {name: data for name, data in known.items() if data}}
    classes = _class_names(folder, data_dir)
    return about | ({"classes": list(classes)} if classes else {})


def _class_names(folder: RunFolder, data_dir: Path) -> tuple[str, ...]:
    """Of what the run tells apart: as it has recorded, or as the dataset that it is trained on has them."""
    return folder.class_names() or classes_of(folder.config().dataset, data_dir)


def summarise(folder: RunFolder) -> str:
    """Mean scores over the images, a line per budget and test dataset."""
    from jaxseg.evaluation import table

    return table.summary(folder.scores)


def _tested_on(file: Path) -> set[str]:
    """Test datasets that a table has scores of. Before there is one, Arrow is not loaded: training starts sooner."""
    if not file.exists():
        return set()
    from jaxseg.evaluation import table

    return table.tested_on(file)


def score(
    model: TrainedModel,
    budget: int,
    name: str,
    data_dir: Path,
    *,
    crop: int | None = None,
    stride: int | None = None,
    class_names: Sequence[str] = (),
) -> Iterator[Scored]:
    """Scores of one model on the test images of one dataset, at probability 0.5.

    With several classes a pixel belongs to the likeliest of them and the background; `dice` and `jaccard` are then
    means over the classes (a class that is neither there nor predicted scores 1), the counts are of foreground of
    any class against background.

    Args:
        crop, stride: of the windows, pixels; the recipe's where not given.
        class_names: that the model tells apart, in its order, where they are known.

    Raises:
        UsageError: the dataset has other classes than the model.
    """
    run, dataset = model.run, open_once(name, data_dir)
    recipe, images = run.recipe, dataset.test
    check_classes(name, dataset.classes, recipe.model.classes, class_names)
    crop, stride = recipe.crop if crop is None else crop, recipe.stride if stride is None else stride
    window = SlidingWindow(recipe.model, crop, stride, recipe.compute_dtype)
    predictions = window.classes(model.folded, _test_images(name, data_dir, crop), model.statistics)
    for number, predicted in enumerate(predictions):
        height, width = images.sizes[number]
        about = {
            "trained_on": run.dataset,
            "weights": run.weights,
            "fraction": run.fraction,
            "repeat": run.repeat,
            "budget": budget,
            "tested_on": name,
            "subset": images.subsets[number],
            "image": images.ids[number],
            "patient": images.patients[number],
        }
        yield _judged(about, predicted, images.masks[number, :height, :width], dataset.classes)


def _test_images(name: str, data_dir: Path, crop: int) -> Iterable[Group]:
    images = open_once(name, data_dir).test
    least_side = crop if images.sizes.min() < crop else 0  # so that windows of several sizes may share what is kept
    if not is_one_group(images.pixels, least_side):
        return in_groups(images.pixels, images.sizes, least_side)
    return _kept_test_images(name, data_dir, least_side)


@functools.lru_cache(maxsize=4)  # as many datasets as stay loaded
def _kept_test_images(name: str, data_dir: Path, least_side: int) -> tuple[Group, ...]:
    """On the device for the next run of a warm worker; 192 MB at most."""
    images = open_once(name, data_dir).test
    return tuple(in_groups(images.pixels, images.sizes, least_side))


def _judged(about: dict[str, Any], predicted: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> Scored:
    whole = count(predicted > 0, truth > 0)
    if len(classes) == 1:
        return Scored({**about, "dice": whole.dice, "jaccard": whole.jaccard, **whole._asdict()}, [])
    each = [count(predicted == value, truth == value) for value in range(1, len(classes) + 1)]
    means = {name: float(np.mean([getattr(own, name) for own in each])) for name in ("dice", "jaccard")}
    of_classes = [
        {**about, "class": name, "dice": own.dice, "jaccard": own.jaccard, **own._asdict()}
        for name, own in zip(classes, each, strict=True)
    ]
    return Scored({**about, **means, **whole._asdict()}, of_classes)
