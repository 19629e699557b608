"""At which steps a run validates and at which its epoch budgets end."""

from dataclasses import dataclass

from jaxseg.config import Recipe
from jaxseg.input.plan import steps_of


@dataclass(frozen=True)
class Schedule:
    """Steps of a run.

    Attributes:
        total: steps of the whole run.
        budgets: step at which an epoch budget ends -> all budgets that end there.
        interval: steps between two validations; every budget's end is validated besides.
        images, batch: training images and crops a step, for turning steps into epochs.
    """

    total: int
    budgets: dict[int, tuple[int, ...]]
    interval: int
    images: int
    batch: int

    def validates(self, step: int) -> bool:
        return step in self.budgets or step % self.interval == 0

    def epoch(self, step: int) -> float:
        return step * self.batch / self.images


def make_schedule(recipe: Recipe, images: int) -> Schedule:
    """Schedule of a run on `images` training images."""
    ends: dict[int, tuple[int, ...]] = {}
    for budget in recipe.budgets:
        step = steps_of(budget, images, recipe.batch)
        ends[step] = (*ends.get(step, ()), budget)
    interval = max(steps_of(recipe.validate_every, images, recipe.batch), recipe.validate_gap)
    return Schedule(max(ends), ends, interval, images, recipe.batch)
