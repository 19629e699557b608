"""The live view of a single run."""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jaxseg.console import Console

QUIET = 60  # seconds between two words on how far a run is, where there is no terminal for a bar
OnStep = Callable[[int, int, dict[str, Any] | None], None]


def summary(line: dict[str, Any]) -> str:
    """A line of the log in words."""
    return (
        f"epoch {line['epoch']:.4g}  loss {line['training_loss']:.4f}  validation {line['validation_loss']:.4f} "
        f"(best {line['best_validation_loss']:.4f})  Dice {line['validation_dice']:.4f}  "
        f"{line['images_per_second']:.1f} images/s"
    )


@contextlib.contextmanager
def live_view(title: str, words: Callable[[dict[str, Any]], str] = summary) -> Iterator[OnStep]:
    """A bar with the time left, and a line for each line of the log.

    Where the output is no terminal, such as a file, the first step and the minutes without a line get one in place of
    the bar.
    """
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    shown = Progress(
        *columns,
        *times,
        console=console,
        disable=not console.is_terminal,
        get_time=time.monotonic,
        speed_estimate_period=2 * QUIET,
    )
    with shown as progress:
        task = progress.add_task(title)
        told = -float("inf")

        def on_step(step: int, total: int, line: dict[str, Any] | None) -> None:
            nonlocal told
            progress.update(task, completed=step, total=total)
            if line is not None:
                text = words(line)
            elif not console.is_terminal and time.monotonic() - told >= QUIET:
                text = f"{title}: step {step} of {total}{_left(progress.tasks[task].time_remaining)}"
            else:
                return
            console.print(text, highlight=False, soft_wrap=True)
            told = time.monotonic()

        yield on_step


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", {datetime.timedelta(seconds=round(seconds))} left"
