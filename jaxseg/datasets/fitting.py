"""Whether prepared datasets fit a run, told from their cards alone: before anything is trained or scored."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxseg.config import RunConfig
from jaxseg.datasets.catalogue import DESCRIPTIONS
from jaxseg.datasets.classes import check_classes
from jaxseg.datasets.prepared import is_prepared, prepared_folder, read_card
from jaxseg.errors import JaxsegError, UsageError


def check_fits(run: RunConfig, names: Iterable[str], data_dir: Path, class_names: Sequence[str] = ()) -> None:
    """Refuse datasets that the run cannot be trained or scored on; see `check_dataset`.

    Args:
        class_names: of the run's classes, where it has recorded them.
    """
    task = _task(run.dataset, data_dir)
    class_names = class_names or classes_of(run.dataset, data_dir)
    for name in names:
        check_dataset(name, task, run.recipe.model.classes, data_dir, class_names)


def check_dataset(name: str, task: str | None, classes: int, data_dir: Path, class_names: Sequence[str] = ()) -> None:
    """Refuse a dataset that is not prepared for a task.

    Args:
        task: None where any will do.
        classes: that the model tells apart; class_names: their names, empty where they are not known.

    Raises:
        InputError: it is not prepared, or damaged.
        UsageError: no such dataset, one for another task, or of other classes.
    """
    card = read_card(name, data_dir)
    if task is not None and card.task != task:
        raise UsageError(
            f"dataset {name} is for another task",
            file=prepared_folder(name, data_dir),
            found=card.task,
            expected=task,
            remedy="train and test on datasets of one task; that of a study stands in its configuration",
        )
    check_classes(name, card.classes or (card.task,), classes, class_names)


def classes_of(name: str, data_dir: Path) -> tuple[str, ...]:
    """Names of the classes that a dataset tells apart; empty where there is one, or the dataset is not at hand."""
    with contextlib.suppress(JaxsegError):  # told where the data are needed
        return read_card(name, data_dir).classes
    return DESCRIPTIONS[name].classes if name in DESCRIPTIONS else ()


def _task(name: str, data_dir: Path) -> str | None:
    """None where a dataset of the user's is not at hand, as where a run was brought from another machine."""
    if is_prepared(name, data_dir):
        return read_card(name, data_dir).task
    return DESCRIPTIONS[name].task if name in DESCRIPTIONS else None
