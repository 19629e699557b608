"""The operations of a compiled training step: what they do, their times and their least times."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.hlo import Kernel, kernels, opcodes

CALLERS = ("while", "call", "conditional")  # their times are those of what they call
CONVOLUTIONS = ("convolution", "__cudnn$conv")
PRODUCTS = ("dot", "__cublas$")
LAYOUT = {"copy", "transpose", "bitcast", "reshape", "broadcast", "slice", "concatenate", "pad", "convert"}
NO_WORK = {"parameter", "constant", "tuple", "get-tuple-element", "fusion"}
LOOPS = "loops: cutting crops"  # on CPUs, where a step is a program
ONCE = "once a dispatch"  # on GPUs, where it is the body of a loop
UNKNOWN = "not in the program's text"
BETWEEN = "between them"


@dataclass(frozen=True)
class Operation:
    """An operation in one step.

    Attributes:
        group: see `group`. made_from: the line of the program that it was made for.
        seconds: that it took. least: that it would take at the roofs. flop, bytes: see `Kernel`.
    """

    name: str
    group: str
    made_from: str
    seconds: float
    least: float
    flop: int
    bytes: int


def operations(
    program: str,
    found: dict[str, list[float]],
    steps: int,
    arithmetic: float,
    bandwidth: float,
    elsewhere: str = LOOPS,
) -> list[Operation]:
    """What the timed operations of a compiled program are, the longest first.

    Args:
        found: seconds of every operation in `steps` steps, by its name, in order of time.
        arithmetic, bandwidth: the roofs, FLOP and bytes a second.
        elsewhere: group of what is in the program, but not among the operations of a step.
    """
    of_step, codes = {kernel.name: kernel for kernel in kernels(program)}, opcodes(program)
    result = []
    for name, seconds in found.items():
        if codes.get(name) in CALLERS:
            continue
        kernel = of_step.get(name) or Kernel(name, "", 0, "")
        where = group(kernel) if name in of_step else elsewhere if name in codes else UNKNOWN
        least = max(kernel.flop / arithmetic, kernel.bytes / bandwidth)
        each = _of_a_step(seconds, steps)
        result.append(Operation(name, where, kernel.made_from, each, least, kernel.flop, kernel.bytes))
    return sorted(result, key=lambda operation: -operation.seconds)


def _of_a_step(seconds: list[float], steps: int) -> float:
    """Median of the steps, which a busy moment does not move; their mean where not all carry it out equally often.

    A step may carry an operation out by several kernels of very different lengths, so they are added up first.
    """
    each, left = divmod(len(seconds), steps)
    if left:
        return sum(seconds) / steps
    return statistics.median(sum(seconds[first : first + each]) for first in range(0, len(seconds), each))


def group(kernel: Kernel) -> str:
    """What an operation does, in few words."""
    codes = {*kernel.opcodes, kernel.kind}
    if any(code.startswith(CONVOLUTIONS) for code in codes):
        return "convolutions"
    if any(code.startswith(PRODUCTS) for code in codes):
        return "products of matrices"
    if kernel.opcodes & {"reduce", "reduce-window"}:
        return "sums"
    if kernel.opcodes <= LAYOUT | NO_WORK:
        return "copies and transposes"
    return "element by element"


def report(found: Iterable[Operation], step: float, roofs: tuple[float, float]) -> Table:
    """A line for each group, those that take longest first; fractions are of the step and of the roofs."""
    everything = list(found)
    title = f"one step: {1000 * step:,.1f} ms; roofs: {roofs[0] / 1e9:,.0f} GFLOP/s, {roofs[1] / 1e9:,.0f} GB/s"
    table = Table(title=title)
    for heading in ("", "operations", "ms", "of it", "GFLOP/s", "GB/s", "at the roofs, ms"):
        table.add_column(heading, no_wrap=not heading, justify="right" if heading else "left")
    for name, members in grouped(everything):
        table.add_row(name, *_figures(members, step, roofs))
    between = step - total(everything, "seconds")
    table.add_row(BETWEEN, "", f"{1000 * between:,.1f}", f"{between / step:.0%}")
    table.add_section()
    table.add_row("the step", *_figures(everything, step, roofs, whole=step))
    return table


def grouped(found: Iterable[Operation]) -> list[tuple[str, list[Operation]]]:
    """Those that do the same, by what it is; the group that takes longest first."""
    groups: dict[str, list[Operation]] = defaultdict(list)
    for operation in found:
        groups[operation.group].append(operation)
    return sorted(groups.items(), key=lambda item: -total(item[1], "seconds"))


def _figures(
    members: list[Operation], step: float, roofs: tuple[float, float], whole: float | None = None
) -> Iterator[str]:
    seconds = whole or total(members, "seconds")
    yield f"{len(members):,}"
    yield f"{1000 * seconds:,.1f}"
    yield f"{seconds / step:.0%}"
    for amount, roof in zip((total(members, "flop"), total(members, "bytes")), roofs, strict=True):
        yield f"{amount / seconds / 1e9:,.0f} ({amount / seconds / roof:.0%})" if amount else ""
    least = total(members, "least")
    yield f"{1000 * least:,.1f} ({least / seconds:.0%})" if least else ""


def total(members: Iterable[Operation], what: str) -> float:
    """Sum of one of the attributes."""
    return sum(getattr(member, what) for member in members)


def draw(found: Iterable[Operation], step: float, title: str, file: Path) -> None:
    """A bar for each group: its time, and in it the least time at the roofs."""
    everything = list(found)
    bars = [(name, total(members, "seconds"), total(members, "least")) for name, members in grouped(everything)]
    names, seconds, least = zip(*bars, (BETWEEN, max(0, step - total(everything, "seconds")), 0), strict=True)
    figure = Figure(figsize=(8, 0.45 * len(names) + 1.4), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [1000 * each for each in seconds], color="#c6d4e1", label="measured")
    axes.barh(
        names,
        [1000 * each for each in least],
        height=0.4,
        color="#2f5d8a",
        label="at the roofs of arithmetic and memory",
    )
    axes.invert_yaxis()
    axes.set_xlabel("ms of a step")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    figure.savefig(file, dpi=120)
