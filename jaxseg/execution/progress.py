"""How far a sweep is: counts, what the running runs last wrote into their logs, the time left."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxseg.execution.failing_gpus import AT_WORK
from jaxseg.execution.plan import Item
from jaxseg.run_folder import RunFolder

TAIL = 4096  # bytes; several lines of a log


@dataclass(frozen=True)
class Running:
    """A run at work, as its log tells it; the numbers are None before the first validation."""

    id: str
    epochs: int
    epoch: float = 0.0
    loss: float | None = None
    dice: float | None = None
    speed: float | None = None  # images a second


def last_entry(log: Path) -> dict[str, Any]:
    """Last whole line of a log.jsonl; {} where there is none, or a damaged one."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL))
            lines = stream.read().split(b"\n")[:-1]
        return dict(json.loads(lines[-1])) if lines else {}
    except (OSError, ValueError, TypeError):
        return {}


@dataclass
class Progress:
    """State of a sweep, fed by it and shown by a view.

    Attributes:
        study: its folder; marks: folder where workers mark the run that they are at.
        items: all runs by id; states: their states, updated by the sweep.
        sizes: work of each run, or any number that its duration goes with.
        scoring: part of it that comes after the last epoch.
    """

    study: Path
    marks: Path
    items: Mapping[str, Item]
    states: dict[str, str]
    sizes: Mapping[str, float]
    clock: Callable[[], float] = time.monotonic
    stopping: bool = False
    scoring: Mapping[str, float] = field(default_factory=dict)
    _logs: dict[str, Path] = field(init=False)
    _epochs: dict[str, float] = field(init=False)  # as last seen; of a run in the queue, what an earlier sweep did
    _began: float = field(init=False)
    _at_start: float = field(init=False)

    def __post_init__(self) -> None:
        self._logs = {id: RunFolder.of(self.study, item.run).log for id, item in self.items.items()}
        self._epochs = {id: self._look(id).epoch for id, state in self.states.items() if state == "queued"}
        self._began = self.clock()
        self._at_start = self._worked()

    def counts(self) -> Counter[str]:
        """Runs by state; those at work count as running instead."""
        running = {run.id for run in self.running()}
        return Counter("running" if id in running else state for id, state in self.states.items())

    def running(self) -> list[Running]:
        """Runs that a worker is at now."""
        marks = sorted(self.marks.glob(AT_WORK)) if self.marks.exists() else []
        running = [self._look(mark.name) for mark in marks if self.states.get(mark.name) == "queued"]
        self._epochs.update({run.id: run.epoch for run in running})
        return running

    def _look(self, id: str) -> Running:
        entry = last_entry(self._logs[id])
        return Running(
            id,
            self._last(id),
            float(entry.get("epoch", 0.0)),
            entry.get("training_loss"),
            entry.get("validation_dice"),
            entry.get("images_per_second"),
        )

    def share(self) -> float:
        """Work done of all work that can be done, 0 … 1."""
        total = self._total("done", "queued", "waiting")
        return min(1.0, self._worked() / total) if total else 1.0

    def seconds_left(self) -> float | None:
        """Estimate from the work done since the start; None before there is any."""
        worked = self._worked()
        done, elapsed = worked - self._at_start, self.clock() - self._began
        if done <= 0:
            return None
        return max(0.0, self._total("done", "queued", "waiting") - worked) * elapsed / done

    def _total(self, *states: str) -> float:
        return sum(size for id, size in self.sizes.items() if self.states[id] in states)

    def _worked(self) -> float:
        """What is done, and what is done of the runs that are not."""
        self.running()
        begun = {id: epoch for id, epoch in self._epochs.items() if self.states[id] == "queued"}
        return self._total("done") + sum(self._trained(id, epoch) for id, epoch in begun.items())

    def _trained(self, id: str, epoch: float) -> float:
        """What of a run is done at an epoch; at the last one it still has to be scored."""
        return (self.sizes[id] - self.scoring.get(id, 0.0)) * min(1.0, epoch / self._last(id))

    def _last(self, id: str) -> int:
        return self.items[id].run.recipe.budgets[-1]


def duration(seconds: float | None) -> str:
    """In words, such as "1 h 05 min"."""
    if seconds is None:
        return "unknown"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
    return f"{seconds / 86400:.1f} days"
