"""The live view of a single run."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
    """A bar with the time left, and a line for each line of the log; lines only where the output is no terminal."""
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title)

        def on_step(step: int, total: int, line: dict[str, Any] | None) -> None:
            progress.update(task, completed=step, total=total)
            if line is not None:
                progress.console.print(words(line), highlight=False, soft_wrap=True)

        yield on_step
