"""Tasks beside the main thread: one at a time, in order, none of their errors lost."""

import threading

import pytest

from jaxseg.errors import InputError, StoppedError
from jaxseg.training.beside import beside


def test_the_block_goes_on_meanwhile_and_ends_after_the_last_task() -> None:
    going, done = threading.Event(), []

    def task() -> None:
        assert going.wait(10)
        done.append(1)

    with beside("test") as start:
        start(task)
        assert not done
        going.set()
    assert done == [1]


def test_a_second_task_waits_for_the_first() -> None:
    order: list[int] = []
    with beside("test") as start:
        for number in range(5):
            start(lambda number=number: order.append(number))  # type: ignore[misc]
            assert len(order) >= number
    assert order == [0, 1, 2, 3, 4]


def refuse() -> None:
    raise InputError("disk full")


def test_an_error_comes_up_with_the_next_task_and_once() -> None:
    with beside("test") as start:
        start(refuse)
        with pytest.raises(InputError, match="disk full"):
            start(refuse)
        start(lambda: None)


def refused(ending: Exception | None) -> None:
    with beside("test") as start:
        start(refuse)
        if ending:
            raise ending


@pytest.mark.parametrize("ending", [None, StoppedError("stopped")])
def test_an_error_comes_up_at_the_end_before_a_stop(ending: Exception | None) -> None:
    """Who stops a run whose checkpoint was not written must not be told that it can be resumed."""
    with pytest.raises(InputError, match="disk full"):
        refused(ending)
