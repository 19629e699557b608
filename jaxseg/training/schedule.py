"""At which steps a run validates and at which its epoch budgets end."""

from collections.abc import Iterator
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

    @property
    def validations(self) -> int:
        """How often the whole run validates."""
        return len(set(self.budgets) | set(range(self.interval, self.total, self.interval)))

    def validates(self, step: int) -> bool:
        return step in self.budgets or step % self.interval == 0

    def ended(self, step: int) -> Iterator[int]:
        """The budgets that have ended when a step is done."""
        return (budget for end, budgets in self.budgets.items() if end <= step for budget in budgets)

    def before(self, step: int) -> int:
        """The last validation before a step; 0 where there is none."""
        return max((step - 1) // self.interval * self.interval, *(end for end in (0, *self.budgets) if end < step))

    def after(self, step: int) -> int:
        """The first validation after a step below `total`."""
        return min((step // self.interval + 1) * self.interval, *(end for end in self.budgets if end > step))

    def dispatches(self, step: int, most: int) -> Iterator[int]:
        """How many steps each dispatch takes that follows `step`; none goes beyond a validation.

        Between two validations there are as many of `most` steps as fit, then single ones: only two programs are
        compiled, and a run that goes on from where a dispatch ended takes the same ones as if it had never stopped.
        From any other step on there are single ones up to where a dispatch would have ended.
        """
        while step < self.total:
            begins = (step - self.before(step + 1)) % most == 0
            taken = most if begins and step + most <= self.after(step) else 1
            yield taken
            step += taken

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
