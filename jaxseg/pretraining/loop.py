"""The loop of a pretraining: it knows no files; all that it uses is handed to it.

Nothing moves between host and devices in it but what is sent or fetched explicitly; JAX raises otherwise.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax

from jaxseg.compute.device import PAUSE, one_at_a_time
from jaxseg.errors import StoppedError, UsageError
from jaxseg.input.feed import Feed
from jaxseg.input.statistics import Statistics
from jaxseg.pretraining.loss import TwinsLoss
from jaxseg.pretraining.step import TwinsSteps
from jaxseg.pretraining.views import Pair
from jaxseg.training.checkpoints import Checkpoints
from jaxseg.training.journal import Journal
from jaxseg.training.progress import OnStep
from jaxseg.training.state import TrainState


@dataclass(frozen=True)
class Collaborators:
    """What the loop works with.

    Attributes:
        statistics: on the devices.
        views: position of a batch -> pairs of placements from there on.
        total: steps in all; interval: steps between two lines of the log; the last step has one besides.
        images, batch: images in all and a step, for turning steps into epochs.
        should_stop: asked after each step; when true, the state is saved and `StoppedError` raised.
    """

    views: Callable[[int], Iterator[Pair]]
    feed: Feed
    steps: TwinsSteps
    statistics: Statistics
    total: int
    interval: int
    images: int
    batch: int
    checkpoints: Checkpoints
    journal: Journal
    should_stop: Callable[[], bool]
    on_step: OnStep
    checkpoint_seconds: float


@jax.transfer_guard("disallow")
def pretrain(state: TrainState, use: Collaborators) -> TrainState:
    """Take all steps from where `state` stands."""
    begun = int(jax.device_get(state.step))
    saved = logged = time.perf_counter()
    counted, loss = begun, None
    for step, (first, second) in zip(range(begun + 1, use.total + 1), use.views(begun), strict=False):
        former, line = one_at_a_time(loss, PAUSE), None
        state, loss = use.steps.train(state, use.feed(first), use.feed(second), use.statistics)
        jax.block_until_ready(former)  # one step late: an accelerator is never waited for, nor left far behind
        if step % use.interval == 0 or step == use.total:
            jax.block_until_ready(loss)
            speed = (step - counted) * use.batch / (time.perf_counter() - logged)
            line = _line(state, step, speed, use)
            state = use.steps.restart(state)
            logged, counted = time.perf_counter(), step
        use.on_step(step, use.total, line)
        stop = use.should_stop() and step < use.total
        if stop or step == use.total or time.perf_counter() - saved > use.checkpoint_seconds:
            use.checkpoints.save_latest(state, {"position": step})
            saved = time.perf_counter()
        if stop:
            raise StoppedError(f"stopped after step {step} of {use.total}; repeat the command to resume")
    return state


def _line(state: TrainState, step: int, speed: float, use: Collaborators) -> dict[str, Any]:
    """Write a line of the log; `UsageError` where the loss is no number."""
    steps = step - (step - 1) // use.interval * use.interval  # since the line before
    mean = TwinsLoss(*(jax.device_get(state.loss_sum) / steps).tolist())
    if not math.isfinite(mean.value):
        raise UsageError(
            f"pretraining diverged: the loss is {mean.value} at step {step}",
            remedy="lower --learning-rate, then delete the .pretraining folder beside the weights and begin anew",
        )
    line = {
        "steps": use.total,
        "epoch": step * use.batch / use.images,
        "training_loss": mean.value,
        "agreement": mean.agreement,
        "redundancy": mean.redundancy,
        "images_per_second": round(speed, 3),
    }
    use.journal.write(step, line)
    return {"step": step, **line}


def in_words(line: dict[str, Any]) -> str:
    """A line of the log for people."""
    return (
        f"epoch {line['epoch']:.4g}  loss {line['training_loss']:.4f}  agreement {line['agreement']:.3f}  "
        f"redundancy {line['redundancy']:.3f}  {line['images_per_second']:.1f} images/s"
    )
