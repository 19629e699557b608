"""Steps of budgets and validations, worked by hand."""

import itertools

import pytest

from jaxseg.config import Recipe
from jaxseg.training.schedule import make_schedule


def test_budgets_end_where_their_epochs_do() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(1, 3), validate_every=1, validate_gap=1), images=20)
    assert schedule.budgets == {2: (1,), 4: (3,)}
    assert [list(schedule.ended(step)) for step in (0, 1, 2, 3, 4)] == [[], [], [1], [1], [1, 3]]
    assert schedule.total == 4
    assert schedule.epoch(4) == 3.2


def test_budgets_may_share_a_step() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(1, 2)), images=3)
    assert schedule.budgets == {1: (1, 2)}


def test_validation_keeps_its_distance_in_steps_and_comes_at_every_budget() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(90, 100), validate_every=1, validate_gap=25), images=16)
    assert [step for step in range(1, 101) if schedule.validates(step)] == [25, 50, 75, 90, 100]


@pytest.mark.parametrize("images", [1, 7, 68])
@pytest.mark.parametrize("batch", [1, 8, 16])
@pytest.mark.parametrize("budgets", [(1,), (3, 10), (20, 100)])
def test_validations_are_as_many_as_steps_that_validate(images: int, batch: int, budgets: tuple[int, ...]) -> None:
    schedule = make_schedule(Recipe(batch=batch, budgets=budgets, validate_every=3), images)
    assert schedule.validations == sum(schedule.validates(step) for step in range(1, schedule.total + 1))


def test_dispatches_are_cut_at_validations_and_budgets() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(30, 50), validate_every=1, validate_gap=25), images=16)
    assert list(schedule.dispatches(0, 10)) == [10, 10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, *([10, 10])]
    assert list(schedule.dispatches(0, 1)) == [1] * 50


def test_a_run_goes_on_with_the_dispatches_of_one_that_never_stopped() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(13, 40), validate_every=1, validate_gap=12), images=16)
    whole = list(schedule.dispatches(0, 5))
    ends = list(itertools.accumulate(whole))
    assert set(ends) >= {12, 13, 24, 36, 40}
    for number, end in enumerate(ends):
        assert list(schedule.dispatches(end, 5)) == whole[number + 1 :]


def test_a_run_that_stands_within_a_dispatch_goes_to_its_end_in_single_steps() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(20,), validate_every=20, validate_gap=1), images=16)
    assert list(schedule.dispatches(3, 5)) == [1, 1, 5, 5, 5]


def test_validations_before_and_after_a_step() -> None:
    schedule = make_schedule(Recipe(batch=16, budgets=(30, 50), validate_every=1, validate_gap=25), images=16)
    assert [schedule.before(step) for step in (1, 25, 26, 30, 31, 50)] == [0, 0, 25, 25, 30, 30]
    assert [schedule.after(step) for step in (0, 24, 25, 29, 30, 49)] == [25, 25, 30, 30, 50, 50]
