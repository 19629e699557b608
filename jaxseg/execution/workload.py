"""What the runs of a study compute, counted from the cards of their datasets; no image is read, no model built."""

import dataclasses
import functools
import math
from collections.abc import Sequence

from jaxseg.config import RANDOM, RunConfig
from jaxseg.datasets.card import Row
from jaxseg.datasets.catalogue import DESCRIPTIONS
from jaxseg.datasets.prepared import is_prepared, read_card
from jaxseg.datasets.split import split, training_images, validation_images
from jaxseg.execution.plan import Item, Plan
from jaxseg.input.placement import starts
from jaxseg.run_folder import BEST, LATEST, RunFolder
from jaxseg.training.schedule import make_schedule

LOOK = 0.3  # time of a crop that is only looked at, relative to one trained on: of narrow nets on two CPU cores
BESIDES = 0.25  # validation and scoring, relative to training, where sizes of images are not known yet


class Workload:
    """Work in crops that are trained on: those, and what validation and scoring take of the time of as many."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # Hundreds of runs have the same images, windows and divisions.
        self._images = functools.cache(self._read)
        self._windows = functools.cache(self._count)
        self._divided = functools.cache(self._divide)

    def of(self, item: Item) -> float | None:
        """Of a whole run; None where the number of images is not known."""
        work = self._training(item.run)
        return None if work is None else work + self.scoring(item)

    def left(self, item: Item) -> float | None:
        """Of what a run still has to do: it goes on from its latest checkpoint, which may lie far before its log."""
        folder = RunFolder.of(self._plan.folder, item.run)
        work = self._training(item.run, step_reached(folder))
        scored = () if item.state == "missing" else folder.tested_on()  # its record may be what is wrong with it
        return None if work is None else work + self.scoring(item, scored)

    def _training(self, run: RunConfig, step: float = 0) -> float | None:
        """Of training and validation, from a step on."""
        recipe, rows = run.recipe, self._images(run.dataset, "train")
        if rows:
            train, validation = self._divided(dataclasses.replace(run, weights=RANDOM))  # whatever the weights
            each = self._windows(run.dataset, "train", recipe.crop, recipe.crop) / len(rows)
        elif run.dataset in DESCRIPTIONS:
            train, _ = image_by_image(DESCRIPTIONS[run.dataset].counts["train"], run)
        else:
            return None
        schedule = make_schedule(recipe, train)
        crops = schedule.total * recipe.batch
        besides = LOOK * schedule.validations * validation * each / crops if rows else BESIDES
        return max(0.0, crops - step * recipe.batch) * (1 + besides)

    def scoring(self, item: Item, scored: Sequence[str] = ()) -> float:
        """Of what comes after a run's training, on data that are prepared and that it was not `scored` on before."""
        crop, stride = item.run.recipe.crop, item.run.recipe.stride
        looks = sum(self._windows(name, "test", crop, stride) for name in item.tested_on if name not in scored)
        return LOOK * len(item.run.recipe.budgets) * looks

    def _read(self, name: str, part: str) -> Sequence[Row]:
        """Empty where the dataset is not prepared."""
        data = self._plan.locations.data
        return read_card(name, data).rows(part) if is_prepared(name, data) else ()

    def _count(self, name: str, part: str, crop: int, stride: int) -> int:
        return sum(windows(row, crop, stride) for row in self._images(name, part))

    def _divide(self, run: RunConfig) -> tuple[int, int]:
        return divided(self._images(run.dataset, "train"), run)


def step_reached(folder: RunFolder) -> float:
    """The step from which a run goes on; infinite where it is trained to its end."""
    if (folder.checkpoints / BEST).exists():
        return math.inf
    latest = (file.name.removeprefix(LATEST) for file in folder.checkpoints.glob(f"{LATEST}*"))
    return max((int(step) for step in latest if step.isdigit()), default=0)


def divided(rows: Sequence[Row], run: RunConfig) -> tuple[int, int]:
    """Images that a run trains on and validates on, of the official training images."""
    ids, patients = [row.id for row in rows], [row.patient for row in rows]
    if len(set(patients)) in (1, len(ids)):  # told at once, and of thousands of images
        return image_by_image(len(ids), run)
    drawn = split(run.dataset, ids, patients, run.repeat, run.fraction, run.recipe.validation_share)
    return len(drawn.train), len(drawn.validation)


def image_by_image(images: int, run: RunConfig) -> tuple[int, int]:
    """The same where no patients have to stay together."""
    validation = validation_images(images, run.recipe.validation_share)
    return training_images(images - validation, run.fraction), validation


def windows(row: Row, crop: int, stride: int) -> int:
    """Windows that cover an image."""
    return len(starts(row.height, crop, stride)) * len(starts(row.width, crop, stride))
