"""The main memory that a run needs on a CPU, without building a model; how many run at once depends on it."""

from collections.abc import Sequence
from pathlib import Path

from jaxseg.compute.host import memory
from jaxseg.config import Recipe, Study
from jaxseg.datasets.card import Row
from jaxseg.datasets.prepared import read_card
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.execution.estimate import map_numbers, model_bytes

# From the peak of the resident memory: full ResNet50 at batches of 4, 8 and 16 (4.0, 5.9 and 9.8 GB), an eighth of its
# width at 16 (2.4 GB), a narrow ResNet18 at 8 crops of 128 pixels (.9 GB).
PROCESS = 0.8e9  # bytes: libraries, compiled functions
MODELS = 9  # parameters, gradients, Adam's moments, the best so far, on both sides of a step
MAPS = 7.5  # what lives at once of the maps of a step, relative to the outputs of its convolutions
# Of the C library's heap, up to the end of the first step: full ResNet50 at batches of 4 and 8 (2.07 and 3.27 GB, less
# the stack of images), a quarter and an eighth of its width at 8 (.89 and .66), ResNet18 at 4 (1.0), an eighth of its
# width at 8 crops of 128 pixels (.23), half of ResNet101's at 4 (1.32).
STARTED = 0.3e9  # bytes: libraries, what XLA needs to read a compiled step
FIRST_MODELS = 4  # parameters, Adam's moments, the best so far
FIRST_MAPS = 4
LOADED = 4  # bytes a pixel: image and mask
TESTED = 4  # bytes a pixel of test images besides: for the next run, in groups that are a little larger
STACKED = 8  # bytes a pixel of the training images besides: packed, and on the device
BY_FAR = 2  # times the memory: what a run needs is an estimate
KEPT = 4  # datasets that a process keeps loaded


def memory_needed(study: Study, data_dir: Path) -> int:
    """Bytes of a worker that runs the study; datasets that are not prepared yet are left out."""
    makers = (made.run.dataset for made in study.trained_weights)
    names = dict.fromkeys((*study.datasets, *study.test_datasets, *makers))
    pixels = [_pixels(name, data_dir) for name in names]
    loaded = sorted((LOADED * (train + test) + TESTED * test for train, test in pixels), reverse=True)[:KEPT]
    stacked = max(train for train, _ in pixels)
    return round(training_bytes(study.recipe) + sum(loaded) + STACKED * stacked)


def training_bytes(recipe: Recipe) -> float:
    """Bytes of a process that trains, without its images."""
    return PROCESS + MODELS * model_bytes(recipe.model) + MAPS * _map_bytes(recipe)


def check_memory(recipe: Recipe) -> None:
    """`UsageError` where this host cannot train by the recipe on its CPU, by far."""
    needed, there = training_bytes(recipe), memory()
    if needed > BY_FAR * there:
        raise UsageError(
            "the recipe needs more memory than this host has",
            found=f"{there / 1e9:.1f} GB",
            expected=f"about {needed / 1e9:.3g} GB for its crop, batch, depth and width",
            remedy="choose a smaller crop, batch or model",
        )


def first_step_bytes(recipe: Recipe) -> int:
    """Bytes that a process with a filled compilation cache takes until its first step on a CPU is done."""
    return round(STARTED + FIRST_MODELS * model_bytes(recipe.model) + FIRST_MAPS * _map_bytes(recipe))


def _map_bytes(recipe: Recipe) -> float:
    """Of the maps that the convolutions give for a batch."""
    return 4 * recipe.batch * map_numbers(recipe.model, recipe.crop)


def _pixels(name: str, data_dir: Path) -> tuple[int, int]:
    """Pixels of the training and of the test images, all padded to the largest of their kind."""
    try:
        card = read_card(name, data_dir)
    except JaxsegError:
        return 0, 0
    return _padded(card.rows("train")), _padded(card.rows("test"))


def _padded(rows: Sequence[Row]) -> int:
    if not rows:
        return 0
    return len(rows) * max(row.height for row in rows) * max(row.width for row in rows)
