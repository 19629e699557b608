"""What a sweep shows while it works: one live screen, or plain lines where the output is no terminal."""

import time
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jaxseg.execution.progress import Progress, Running, duration
from jaxseg.execution.work import Outcome

HEARTBEAT = 30.0  # seconds between plain lines when nothing ends
SHOWN = 16  # running runs on the screen
ORDER = ("done", "running", "queued", "waiting", "failed", "missing", "stopped")


class View(Protocol):
    """A context manager that is told of every end of a run and asked to refresh now and then."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def ended(self, id: str, outcome: Outcome) -> None: ...
    def refresh(self) -> None: ...


def view_for(console: Console, progress: Progress) -> View:
    return LiveView(console, progress) if console.is_terminal else PlainView(console, progress)


def summary(progress: Progress) -> str:
    """One line: `12/17 done, 2 running, 3 queued, about 2 min 05 s left`."""
    counts = progress.counts()
    parts = [f"{counts['done']}/{len(progress.states)} done"]
    parts += [f"{counts[state]} {state}" for state in ORDER[1:] if counts[state]]
    to_come = counts["running"] + counts["queued"] + counts["waiting"]
    if to_come and (left := progress.seconds_left()) is not None:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


class PlainView:
    """A line for every run that ends by itself, and one every half minute."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._next = time.monotonic() + HEARTBEAT

    def __enter__(self) -> Self:
        self._line(summary(self._progress))
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.stopping:
            self._line(summary(self._progress))

    def ended(self, id: str, outcome: Outcome) -> None:
        if outcome.state == "stopped":  # hundreds at once that had not begun
            return
        self._line(f"{outcome.state}  {id}  ({summary(self._progress)})")

    def refresh(self) -> None:
        if time.monotonic() < self._next:
            return
        self._line(summary(self._progress))
        for run in self._progress.running():
            self._line(f"    {run.id}  epoch {_epochs(run)}{_numbers(run)}")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._next = time.monotonic() + HEARTBEAT


def _epochs(run: Running) -> str:
    """The last batch may run over the last epoch's end."""
    return f"{min(run.epoch, run.epochs):.0f}/{run.epochs}"


def _numbers(run: Running) -> str:
    named = (("loss", run.loss, ".3f"), ("Dice", run.dice, ".3f"), ("images/s", run.speed, ".1f"))
    return "".join(f"  {name} {value:{form}}" for name, value, form in named if value is not None)


class LiveView:
    """A screen with an overall bar and a row for each running run."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._console.print(summary(self._progress), highlight=False)

    def ended(self, id: str, outcome: Outcome) -> None:
        if outcome.state == "failed":
            self._live.console.print(Text(f"failed  {id}: {outcome.message.partition(chr(10))[0]}", style="red"))
        self.refresh()

    def refresh(self) -> None:
        self._live.update(screen(self._progress), refresh=True)


def screen(progress: Progress) -> Group:
    """The live screen."""
    bar = ProgressBar(total=1.0, completed=progress.share(), width=60)
    parts: list[Text | ProgressBar | Table] = [Text(summary(progress), style="bold"), bar]
    running = progress.running()
    if running:
        parts.append(_table(running[:SHOWN]))
    if len(running) > SHOWN:
        parts.append(Text(f"and {len(running) - SHOWN} more"))
    if progress.stopping:
        parts.append(Text("stopping: running runs save their state; Ctrl-C again ends at once", style="yellow"))
    return Group(*parts)


def _table(running: list[Running]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True)
    for name in ("epoch", "loss", "validation Dice", "images/s"):
        table.add_column(name, justify="right")
    for run in running:
        table.add_row(
            run.id,
            _epochs(run),
            *("" if value is None else f"{value:.3f}" for value in (run.loss, run.dice)),
            "" if run.speed is None else f"{run.speed:.1f}",
        )
    return table
