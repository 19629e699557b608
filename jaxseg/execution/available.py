"""Which data and weights lie ready, told cheaply: no device, no JAX, no TFDS."""

from collections.abc import Sequence
from pathlib import Path

from jaxseg.config import RANDOM, ModelConfig
from jaxseg.datasets.catalogue import DESCRIPTIONS
from jaxseg.datasets.fitting import check_dataset
from jaxseg.datasets.prepared import is_prepared
from jaxseg.datasets.unchanged import Fingerprints, check_unchanged
from jaxseg.errors import InputError, JaxsegError
from jaxseg.models.receipt import Receipt
from jaxseg.run_folder import RunFolder


def data_problem(
    name: str, task: str | None, classes: int, data_dir: Path, class_names: Sequence[str] = ()
) -> str | None:
    """What is wrong with a dataset and the remedy; None where it is prepared, for `task` if one is given.

    Args:
        classes: that the model tells apart; class_names: their names, empty where they are not known.
    """
    try:
        check_dataset(name, task, classes, data_dir, class_names)
    except JaxsegError as error:
        unprepared = name in DESCRIPTIONS and not is_prepared(name, data_dir)
        return f"{error}\n  source:   {DESCRIPTIONS[name].how_to_get}" if unprepared else str(error)
    return None


def change(folder: RunFolder, prepared: Fingerprints) -> str | None:
    """Which data are no longer those of a run, and the remedy; None where none has changed."""
    try:
        check_unchanged(folder, prepared)
    except InputError as error:
        return str(error)
    return None


def weights_problem(name: str, model: ModelConfig, weights_dir: Path) -> str | None:
    """What is wrong with initial weights and the remedy; None where they fit the model."""
    if name == RANDOM:
        return None
    try:
        Receipt.read(weights_dir / name).check_fits(model, weights_dir / name)
    except InputError as error:
        return str(error)
    return None
