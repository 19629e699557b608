"""Ours against PyTorch in the dtypes that one trains in on a device."""

from collections.abc import Mapping
from typing import Any

from benchmarks.machine import this_machine
from benchmarks.record import Case
from benchmarks.turns import Contender


def contenders(work: str, setting: Mapping[str, Any], one_core: bool = False) -> list[Contender]:
    """Of `benchmarks.ours` and, where PyTorch runs on the device, of `benchmarks.pytorch`, the function `work`."""
    sides = {"jaxseg": "ours"} | ({"PyTorch": "pytorch"} if this_machine().peer else {})
    return [
        Contender(f"{name} {dtype}", f"benchmarks.{module}:{work}", {**setting, "dtype": dtype}, one_core)
        for dtype in _dtypes()
        for name, module in sides.items()
    ]


def cases(name: str, items: float, unit: str, seconds: Mapping[str, list[float]]) -> list[Case]:
    """A case for each dtype, of contenders that have taken turns with those of the others."""
    return [
        Case(f"{name}, {dtype}", items, unit, {who: times for who, times in seconds.items() if who.endswith(dtype)})
        for dtype in _dtypes()
    ]


def _dtypes() -> tuple[str, ...]:
    """Both on CPUs: bfloat16 is faster where the processor multiplies it, float32 is what is taken by default."""
    return ("bfloat16",) if this_machine().gpu else ("float32", "bfloat16")
