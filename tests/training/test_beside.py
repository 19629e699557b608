"""Tasks beside the main thread: one at a time, in order, none of their errors lost."""

import threading
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxseg.errors import InputError, StoppedError
from jaxseg.storage import arrays
from jaxseg.training.beside import beside
from jaxseg.training.checkpoints import Checkpoints
from jaxseg.training.mesh import make_mesh, replicated
from jaxseg.training.state import fresh


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


def test_what_is_written_later_is_of_the_step_that_it_was_asked_at(tmp_path: Path) -> None:
    """The next step writes to the memory of this one."""
    tasks: list[Callable[[], object]] = []
    checkpoints = Checkpoints(tmp_path, tasks.append)
    values = np.arange(4, dtype=np.float32)
    state = fresh({"scale": values}, {"mean": values}, replicated(make_mesh(2)))
    checkpoints.save_latest(state, {})
    checkpoints.save_budget("best", state, {})
    best, _ = checkpoints.best["best"]
    held = [leaf if leaf.base is None else leaf.base for leaf in jax.tree.leaves(best)]
    assert all(array.flags.owndata for array in held)
    views = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    assert not any(np.shares_memory(view, leaf) for view in views for leaf in jax.tree.leaves(best))
    assert not checkpoints.ended
    for task in tasks:
        task()
    assert checkpoints.ended
    assert arrays.load(tmp_path / "best")[0]["params"]["scale"].tolist() == [0, 1, 2, 3]
