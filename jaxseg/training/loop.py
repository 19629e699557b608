"""The training loop: it knows no dataset and no model; all that it uses is handed to it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax import Array

from jaxseg.errors import StoppedError, UsageError
from jaxseg.input.feed import Feed
from jaxseg.input.plan import Plan
from jaxseg.training.checkpoints import Checkpoints, budget_name
from jaxseg.training.journal import Journal
from jaxseg.training.schedule import Schedule
from jaxseg.training.state import TrainState
from jaxseg.training.step import Statistics, Steps
from jaxseg.training.validation import Grid, validate


@dataclass(frozen=True)
class Collaborators:
    """What the loop works with.

    Attributes:
        should_stop: asked after each step; when true, the state is saved and `StoppedError` raised.
        on_step: told (step, steps in all) after each step and the line of the log after each validation.
        checkpoint_seconds: time between two checkpoints to resume from.
    """

    plan: Plan
    feed: Feed
    grid: Grid
    steps: Steps
    schedule: Schedule
    statistics: Statistics
    learning_rate: np.ndarray | Array
    checkpoints: Checkpoints
    journal: Journal
    should_stop: Callable[[], bool] = lambda: False
    on_step: Callable[[int, int, dict[str, Any] | None], None] = lambda step, total, line: None
    checkpoint_seconds: float = 300.0


@dataclass
class _Pace:
    """Time spent in training steps since the last validation."""

    since: float = field(default_factory=time.perf_counter)
    steps: int = 0

    def restart(self) -> None:
        self.since, self.steps = time.perf_counter(), 0


def train(state: TrainState, use: Collaborators) -> TrainState:
    """Train from `state` to the end of the schedule, keeping the best model of every epoch budget."""
    first, total = int(state.step) + 1, use.schedule.total
    batches = use.plan.iterate(int(state.step))
    saved, pace, loss = time.perf_counter(), _Pace(), None
    for step in range(first, total + 1):
        source, placement = use.feed(next(batches))
        former, (state, loss) = loss, use.steps.train(state, source, placement, use.statistics, use.learning_rate)
        jax.block_until_ready(former)  # one step late: the device is never waited for, and never left far behind
        pace.steps += 1
        line = None
        if use.schedule.validates(step):
            jax.block_until_ready(loss)
            state, line = _validated(state, step, pace, use)
            pace.restart()
        use.on_step(step, total, line)
        stop = use.should_stop() and step < total
        if stop or time.perf_counter() - saved > use.checkpoint_seconds:
            use.checkpoints.save_latest(state, {"plan": batches.get_state()})
            saved = time.perf_counter()
        if stop:
            raise StoppedError(f"stopped after step {step} of {total}; repeat the command to resume")
    return state


def _validated(state: TrainState, step: int, pace: _Pace, use: Collaborators) -> tuple[TrainState, dict[str, Any]]:
    """Measure, log, judge, and save the best so far where an epoch budget ends."""
    speed = pace.steps * use.schedule.batch / (time.perf_counter() - pace.since)
    training_loss = float(state.loss_sum) / max(step - _previous(step, use.schedule), 1)
    value, dice = validate(use.steps, state, use.feed, use.grid, use.statistics)
    if not math.isfinite(value):
        raise UsageError(
            f"training diverged: the validation loss is {value} at step {step}",
            remedy="lower the recipe's learning_rate; see log.jsonl for the losses before",
        )
    state = use.steps.judge(state, np.float32(value))  # type: ignore[arg-type]
    line = {
        "steps": use.schedule.total,
        "epoch": use.schedule.epoch(step),
        "training_loss": training_loss,
        "validation_loss": value,
        "validation_dice": dice,
        "best_validation_loss": float(state.best_loss),
        "images_per_second": round(speed, 3),
    }
    use.journal.write(step, line)
    _save_budgets(state, step, use)
    return state, {"step": step, **line}


def _previous(step: int, schedule: Schedule) -> int:
    """The validation before this one."""
    ends = [end for end in schedule.budgets if end < step]
    return max([(step - 1) // schedule.interval * schedule.interval, *ends])


def _save_budgets(state: TrainState, step: int, use: Collaborators) -> None:
    last = max(max(budgets) for budgets in use.schedule.budgets.values())
    for budget in use.schedule.budgets.get(step, ()):
        about = {
            "epochs": budget,
            "step": step,
            "best_step": int(state.best_step),
            "best_validation_loss": float(state.best_loss),
        }
        use.checkpoints.save_budget(budget_name(budget, last), state, about)
