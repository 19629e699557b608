"""Results: a table on the screen, and benchmarks/results/<name>-<device>.json with every single time."""

import dataclasses
import datetime
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import machine
from benchmarks.failures import Failures
from benchmarks.turns import median_ratio
from jaxseg.console import Console
from jaxseg.execution import one_graph
from jaxseg.files import write_json

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Options:
    """Options of every benchmark; each adds its own.

    Attributes:
        out: folder of results.
        remark: kept with the results, such as "other work on the machine".
    """

    out: Path = RESULTS
    remark: str = ""


@dataclass(frozen=True)
class Case:
    """What was measured under one setting.

    Attributes:
        name: such as "batch 16".
        items, unit: what one turn works through, such as 16 "images".
        seconds: by contender, ours first; one number a turn, none of one that failed.
    """

    name: str
    items: float
    unit: str
    seconds: dict[str, list[float]]

    @property
    def ours(self) -> list[float]:
        return next(iter(self.seconds.values()))

    @property
    def failed(self) -> list[str]:
        """Contenders that failed, with the case's name."""
        return [f"{self.name}, {contender}" for contender, times in self.seconds.items() if not times]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "contenders": {
                name: {
                    "seconds": times,
                    "median_seconds": statistics.median(times),
                    "least_seconds": min(times),
                    "items_per_second": self.items / statistics.median(times),
                    "ours_is_times_as_fast": median_ratio(self.ours, times),
                    "ours_is_times_as_fast_at_best": min(times) / min(self.ours),
                }
                for name, times in self.seconds.items()
                if times
            },
        }


def record(
    benchmark: str, flags: Options, cases: Sequence[Case], setting: dict[str, Any] | None = None, **more: Any
) -> Path:
    """Print the table, write the JSON, and return its path.

    Args:
        setting: what was measured with where the flags do not say it.
        more: what the JSON tells besides.
    """
    here = machine.this_machine()
    result = {
        "benchmark": benchmark,
        "device": here.device,
        "taken": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "remark": flags.remark,
        "setting": dataclasses.asdict(flags) | {"out": None} | (setting or {}),
        "cases": [case.to_json() for case in cases],
        **machine.about(),
        **more,
    }
    file = flags.out / f"{benchmark}-{here.slug}.json"
    write_json(file, result)
    console = Console()
    console.print(table(result))
    console.print(f"written to {file}", highlight=False)
    return file


def record_parts(
    benchmark: str,
    flags: Options,
    parts: Mapping[str, Callable[[], list[Case]]],
    setting: dict[str, Any] | None = None,
) -> Path:
    """Measure part after part and record after each what there is by then; one that fails does not stop the others.

    A case is left out where ours has failed.

    Raises:
        RuntimeError: in the end, naming the parts and contenders that failed.
    """
    machine.keep_to_one_gpu()
    one_graph.settle()  # as our commands do before they train; within a part it would be measured
    cases: list[Case] = []
    failures = Failures()
    for name, measure in parts.items():
        with failures.noted(f"{benchmark}, {name}"):
            measured = measure()
            failures.names.extend(f"{benchmark}, {failed}" for case in measured for failed in case.failed)
            cases += [case for case in measured if case.ours]
            if cases:
                file = record(benchmark, flags, cases, setting)
    failures.end()
    return file


def rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each contender of each case, as `HEADINGS` say; the first contender is the one that is compared."""
    return [
        (
            case["name"],
            name,
            f"{1000 * times['median_seconds']:,.1f}",
            f"{1000 * times['least_seconds']:,.1f}",
            f"{_short(times['items_per_second'])} {case['unit']}/s",
            "" if number == 0 else f"{times['ours_is_times_as_fast']:.2f}",
            "" if number == 0 else f"{times['ours_is_times_as_fast_at_best']:.2f}",
        )
        for case in result["cases"]
        for number, (name, times) in enumerate(ordered(case["contenders"]))
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ordered(contenders: dict[str, Any]) -> list[tuple[str, Any]]:
    """Ours first, as JSON with sorted keys does not keep the order."""
    return sorted(contenders.items(), key=lambda item: (not item[0].startswith("jaxseg"), item[0]))


HEADINGS = ("case", "contender", "median ms", "best ms", "median rate", "jaxseg × (median)", "jaxseg × (best)")


def table(result: dict[str, Any]) -> Table:
    grid = Table(title=f"{result['benchmark']} on {result['device']}")
    for heading in HEADINGS:
        grid.add_column(heading)
    for row in rows(result):
        grid.add_row(*row)
    return grid


def markdown(folder: Path = RESULTS) -> str:
    """All results of a folder as one table for docs/benchmarks.md."""
    lines = [
        "| device | benchmark | " + " | ".join(HEADINGS) + " |",
        "|---|---|" + "---|" * len(HEADINGS),
    ]
    for file in sorted(folder.glob("*.json")):
        result = json.loads(file.read_text())
        lines += [f"| {result['device']} | {result['benchmark']} | {' | '.join(row)} |" for row in rows(result)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
