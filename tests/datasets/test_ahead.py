"""Results in order, few items at a time, errors where they belong."""

import time
from collections.abc import Iterator

import pytest

from jaxseg.datasets.ahead import in_order


def test_results_keep_the_order_of_slow_and_fast_items() -> None:
    def double(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return 2 * item

    assert list(in_order(double, range(40))) == [2 * item for item in range(40)]


def test_few_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items())
    for expected in range(5):
        assert next(results) == expected
        assert len(taken) <= expected + 2 + 2 * 8
    results.close()
    assert len(taken) < 30


def test_an_error_comes_at_its_place() -> None:
    def divide(item: int) -> float:
        return 1 / (5 - item)

    results = in_order(divide, range(50))
    assert [next(results) for _ in range(5)] == [1 / 5, 1 / 4, 1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
