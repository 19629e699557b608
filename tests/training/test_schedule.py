"""Steps of budgets and validations, worked by hand."""

from jaxseg.config import Recipe
from jaxseg.training.schedule import make_schedule


def test_budgets_end_where_their_epochs_do() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(1, 3), validate_every=1, validate_gap=1), images=20)
    assert schedule.budgets == {2: (1,), 4: (3,)}
    assert schedule.total == 4
    assert schedule.epoch(4) == 3.2


def test_budgets_may_share_a_step() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(1, 2)), images=3)
    assert schedule.budgets == {1: (1, 2)}


def test_validation_keeps_its_distance_in_steps_and_comes_at_every_budget() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(90, 100), validate_every=1, validate_gap=25), images=16)
    assert [step for step in range(1, 101) if schedule.validates(step)] == [25, 50, 75, 90, 100]
