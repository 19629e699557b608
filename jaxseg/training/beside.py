"""Work in a thread, beside what the main one does."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Start = Callable[[Callable[[], Any]], None]


@contextlib.contextmanager
def beside(name: str) -> Iterator[Start]:
    """Yields a function that starts a task in a thread, one at a time: a next one waits for the one before.

    What a task raises is raised where the next is started, or at the block's end, which waits for the last.
    """
    pending: list[Future[Any]] = []

    def wait() -> None:
        while pending:
            pending.pop().result()

    with ThreadPoolExecutor(1, name) as thread:

        def start(task: Callable[[], Any]) -> None:
            wait()
            pending.append(thread.submit(task))

        try:
            yield start
        finally:
            wait()
