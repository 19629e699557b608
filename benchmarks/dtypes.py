"""Ours against PyTorch in the dtypes that one trains in on a device."""

from collections.abc import Mapping
from typing import Any

from benchmarks.machine import this_machine
from benchmarks.record import Case
from benchmarks.turns import Contender
from jaxseg.compute.processor import multiplies_bfloat16


def contenders(work: str, setting: Mapping[str, Any], one_core: bool = False) -> list[Contender]:
    """Of `benchmarks.ours` and, where PyTorch runs on the device, of `benchmarks.pytorch`, the function `work`."""
    sides = {"jaxseg": "ours"} | ({"PyTorch": "pytorch"} if this_machine().peer else {})
    return [
        Contender(f"{name} {dtype}", f"benchmarks.{module}:{work}", {**setting, "dtype": dtype}, one_core)
        for dtype in raced()
        for name, module in sides.items()
    ]


def cases(name: str, items: float, unit: str, seconds: Mapping[str, list[float]]) -> list[Case]:
    """A case for each dtype, of contenders that have taken turns with those of the others."""
    return [
        Case(f"{name}, {dtype}", items, unit, {who: times for who, times in seconds.items() if who.endswith(dtype)})
        for dtype in raced()
    ]


def raced() -> tuple[str, ...]:
    """bfloat16 on GPUs; on CPUs float32, which is the default there, and bfloat16 where the processor is faster in it.

    Elsewhere neither side gains by it, and PyTorch's training step takes twenty times as long as in float32.
    """
    if this_machine().gpu:
        return ("bfloat16",)
    return ("float32", "bfloat16") if multiplies_bfloat16() else ("float32",)
