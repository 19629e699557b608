"""What the runs of a study compute, counted from the cards of their datasets; no image is read, no model built."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxseg.config import RunConfig
from jaxseg.datasets.card import Row
from jaxseg.datasets.catalogue import DESCRIPTIONS
from jaxseg.datasets.prepared import is_prepared, read_card
from jaxseg.datasets.split import split
from jaxseg.execution.plan import Item, Plan
from jaxseg.run_folder import BEST, RunFolder

LOOK = (
    0.3  # time of a crop that is only looked at, relative to one trained on: about that of narrow nets on two CPU cores
)
BESIDES = 0.25  # validation and scoring, relative to training, where sizes of images are not known yet


@dataclass(frozen=True)
class Workload:
    """Work in crops that are trained on: those, and what validation and scoring take of the time of as many."""

    plan: Plan
    _rows: dict[str, tuple[Row, ...]] = field(default_factory=dict, init=False)

    def of(self, item: Item) -> float | None:
        """Of a whole run; None where the number of images is not known."""
        work = self._training(item.run)
        return None if work is None else work + self.scoring(item)

    def left(self, item: Item) -> float | None:
        """Of what a run still has to do: it goes on from its latest checkpoint, which may lie far before its log."""
        work = self._training(item.run, step_reached(RunFolder.of(self.plan.folder, item.run)))
        return None if work is None else work + self.scoring(item)

    def _training(self, run: RunConfig, step: float = 0) -> float | None:
        """Of training and validation, from a step on."""
        rows = self._images(run.dataset, "train")
        if rows:
            train, validation = divided(rows, run)
            each = sum(windows(row, run.recipe.crop, run.recipe.crop) for row in rows) / len(rows)
            besides = LOOK * validations(run, train) * validation * each / trained(run, train)
        elif run.dataset in DESCRIPTIONS:
            train, besides = image_by_image(DESCRIPTIONS[run.dataset].counts["train"], run)[0], BESIDES
        else:
            return None
        return max(0.0, trained(run, train) - step * run.recipe.batch) * (1 + besides)

    def scoring(self, item: Item) -> float:
        """Of what comes after a run's training, on data that are prepared."""
        crop, stride = item.run.recipe.crop, item.run.recipe.stride
        rows = [row for name in item.tested_on for row in self._images(name, "test")]
        return LOOK * len(item.run.recipe.budgets) * sum(windows(row, crop, stride) for row in rows)

    def _images(self, name: str, part: str) -> list[Row]:
        """Empty where the dataset is not prepared."""
        if name not in self._rows:
            there = is_prepared(name, self.plan.locations.data)
            self._rows[name] = tuple(read_card(name, self.plan.locations.data).images) if there else ()
        return [row for row in self._rows[name] if row.split == part]


def step_reached(folder: RunFolder) -> float:
    """The step from which a run goes on; infinite where it is trained to its end."""
    if (folder.checkpoints / BEST).exists():
        return math.inf
    latest = (file.name.removeprefix("latest-") for file in folder.checkpoints.glob("latest-*"))
    return max((int(step) for step in latest if step.isdigit()), default=0)


def divided(rows: Sequence[Row], run: RunConfig) -> tuple[int, int]:
    """Images that a run trains on and validates on, of the official training images."""
    ids, patients = [row.id for row in rows], [row.patient for row in rows]
    if len(set(patients)) in (1, len(ids)) or len(ids) < 2:  # told at once, and of thousands of images
        return image_by_image(len(ids), run)
    drawn = split(run.dataset, ids, patients, run.repeat, run.fraction, run.recipe.validation_share)
    return len(drawn.train), len(drawn.validation)


def image_by_image(images: int, run: RunConfig) -> tuple[int, int]:
    """The same where no patients have to stay together."""
    validation = min(max(_rounded(images * run.recipe.validation_share), 1), images - 1)
    return max(_rounded((images - validation) * run.fraction), 1), validation


def _rounded(number: float) -> int:
    return math.floor(number + 0.5)


def trained(run: RunConfig, images: int) -> int:
    """Crops that a run trains on, with so many images."""
    recipe = run.recipe
    return math.ceil(recipe.budgets[-1] * images / recipe.batch) * recipe.batch


def validations(run: RunConfig, images: int) -> int:
    """How often a run measures the validation loss."""
    recipe = run.recipe
    ends = {math.ceil(budget * images / recipe.batch) for budget in recipe.budgets}
    interval = max(math.ceil(recipe.validate_every * images / recipe.batch), recipe.validate_gap)
    return len(ends | set(range(interval, max(ends), interval)))


def windows(row: Row, crop: int, stride: int) -> int:
    """Windows that cover an image."""
    return math.prod(max(0, math.ceil((side - crop) / stride)) + 1 for side in (row.height, row.width))
