"""The loop of a pretraining with collaborators that only count."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from jaxseg.errors import StoppedError
from jaxseg.pretraining import loop
from jaxseg.pretraining.loop import Collaborators, pretrain
from jaxseg.pretraining.loss import TwinsLoss
from jaxseg.pretraining.step import TwinsSteps

SECONDS_A_STEP = 10


@dataclass
class State:
    step: int
    loss_sum: np.ndarray


class Bench:
    """Each step's loss is its number; a step takes ten seconds."""

    def __init__(self, stop_after: int = 99) -> None:
        self.clock, self.stop_after = 0, stop_after
        self.lines: list[dict[str, Any]] = []
        self.saved: list[int] = []

    def train(self, state: State, first: int, second: int, _: None) -> tuple[State, TwinsLoss]:
        self.clock += SECONDS_A_STEP
        assert (first, second) == (state.step, -state.step), "the batch at that position"
        loss = np.array([1, 2, 3]) * (state.step + 1)
        return State(state.step + 1, state.loss_sum + loss), TwinsLoss(*loss)

    def write(self, step: int, line: dict[str, Any]) -> None:
        self.lines.append({"step": step, **line})

    def save_latest(self, state: State, about: dict[str, Any]) -> None:
        assert about == {"position": state.step}
        self.saved.append(state.step)

    def run(self, begun: int = 0) -> State:
        use: Any = Collaborators(
            views=lambda position: ((number, -number) for number in itertools.count(position)),
            feed=lambda placement: placement,
            steps=TwinsSteps(self.train, lambda state: State(state.step, np.zeros(3))),
            statistics=None,
            total=8,
            interval=3,
            images=12,
            batch=4,
            checkpoints=self,
            journal=self,
            should_stop=lambda: self.clock >= SECONDS_A_STEP * self.stop_after,
            on_step=lambda step, total, line: None,
            checkpoint_seconds=2.5 * SECONDS_A_STEP,
        )
        return pretrain(State(begun, np.zeros(3)), use)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(loop.time, "perf_counter", lambda: bench.clock)
    return bench


def test_a_line_of_the_log_tells_of_the_steps_since_the_one_before(bench: Bench) -> None:
    bench.run()
    assert [line["step"] for line in bench.lines] == [3, 6, 8]
    assert [line["training_loss"] for line in bench.lines] == [2, 5, 7.5]
    assert [(line["agreement"], line["redundancy"]) for line in bench.lines] == [(4, 6), (10, 15), (15, 22.5)]
    assert [line["epoch"] for line in bench.lines] == [1, 2, pytest.approx(8 / 3)]
    assert [line["images_per_second"] for line in bench.lines] == [0.4] * 3


def test_the_state_is_saved_every_so_often_and_at_the_end(bench: Bench) -> None:
    bench.run()
    assert bench.saved == [3, 6, 8]


def test_a_stop_saves_unless_all_is_done(bench: Bench) -> None:
    bench.stop_after = 4
    with pytest.raises(StoppedError, match="stopped after step 4 of 8"):
        bench.run()
    assert bench.saved == [3, 4]
    bench.stop_after = 8
    assert bench.run(begun=4).step == 8
