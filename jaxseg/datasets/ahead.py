"""Work done by a few threads a little ahead of who needs it, so that memory holds a few items, not all."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from jaxseg.compute.host import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Results of the items in their order; at most two items per thread are taken ahead.

    Items are taken in the caller's thread. Closing the generator cancels what has not begun.
    """
    count = min(8, usable_cores())
    with ThreadPoolExecutor(count) as threads:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(function, item))
                if len(waiting) > 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)
