"""The training loop: it knows no dataset and no model; all that it uses is handed to it.

Nothing moves between host and devices in it but what is sent or fetched explicitly; JAX raises otherwise.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jaxseg.compute.device import PAUSE, one_at_a_time
from jaxseg.errors import StoppedError, UsageError
from jaxseg.input.feed import Feed
from jaxseg.input.transfer import to_devices
from jaxseg.run_folder import budget_name
from jaxseg.training.checkpoints import Checkpoints
from jaxseg.training.journal import Journal
from jaxseg.training.progress import OnStep
from jaxseg.training.schedule import Schedule
from jaxseg.training.setup import Setup
from jaxseg.training.state import TrainState
from jaxseg.training.validation import Grid, validate


@dataclass(frozen=True)
class Collaborators:
    """What the loop works with.

    Attributes:
        feed: of the setup.
        should_stop: asked after each dispatch; when true, the state is saved and `StoppedError` raised.
        on_step: told (step, steps in all) after each dispatch and the line of the log after each validation.
        checkpoint_seconds: time between two checkpoints to resume from.
    """

    setup: Setup
    feed: Feed
    grid: Grid
    schedule: Schedule
    checkpoints: Checkpoints
    journal: Journal
    should_stop: Callable[[], bool] = lambda: False
    on_step: OnStep = lambda step, total, line: None
    checkpoint_seconds: float = 300.0


@dataclass
class _Pace:
    """Time spent in training steps since the last validation."""

    since: float = field(default_factory=time.perf_counter)
    steps: int = 0

    def restart(self) -> None:
        self.since, self.steps = time.perf_counter(), 0


@jax.transfer_guard("disallow")
def train(state: TrainState, use: Collaborators) -> TrainState:
    """Train from `state` to the end of the schedule, keeping the best model of every epoch budget."""
    step, total = int(jax.device_get(state.step)), use.schedule.total
    batches = use.setup.plan.iterate(step, total)
    saved, pace, loss = time.perf_counter(), _Pace(), None
    for count in use.schedule.dispatches(step, use.setup.dispatch):
        former = one_at_a_time(loss, PAUSE)
        state, loss = use.setup.train(state, use.feed.take(batches, count))
        jax.block_until_ready(former)  # a dispatch late: an accelerator is never waited for, nor left far behind
        step, pace.steps, line = step + count, pace.steps + count, None
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
    """Measure, log, keep the best so far, and save it where an epoch budget ends."""
    speed = pace.steps * use.schedule.batch / (time.perf_counter() - pace.since)
    training_loss = float(jax.device_get(state.loss_sum)) / (step - use.schedule.before(step))
    value, dice = validate(use.setup.steps, state, use.feed, use.grid, use.setup.statistics)
    if not math.isfinite(value):
        raise UsageError(
            f"training diverged: the validation loss is {value} at step {step}",
            remedy="lower the recipe's learning_rate; see log.jsonl for the losses before",
        )
    state = use.setup.steps.keep_best(state, to_devices(np.float32(value), state.step.sharding))  # type: ignore[arg-type]
    line = {
        "steps": use.schedule.total,
        "epoch": use.schedule.epoch(step),
        "training_loss": training_loss,
        "validation_loss": value,
        "validation_dice": dice,
        "best_validation_loss": float(jax.device_get(state.best_loss)),
        "images_per_second": round(speed, 3),
    }
    use.journal.write(step, line)
    _save_budgets(state, step, use)
    return state, {"step": step, **line}


def _save_budgets(state: TrainState, step: int, use: Collaborators) -> None:
    last = max(max(budgets) for budgets in use.schedule.budgets.values())
    for budget in use.schedule.budgets.get(step, ()):
        about = {
            "epochs": budget,
            "step": step,
            "best_step": int(jax.device_get(state.best_step)),
            "best_validation_loss": float(jax.device_get(state.best_loss)),
        }
        use.checkpoints.save_budget(budget_name(budget, last), state, about)
