"""How all figures look: one colour, marker and dash per initial weights, readable sizes, no display needed."""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from jaxseg.config import RANDOM
from jaxseg.files import write_bytes

# Okabe & Ito's colours, which people with colour-blindness tell apart; yellow is left out: too pale on white. Brown and
# indigo are added: seen without red or without green they are as far from these as these are from each other. Nine
# colours and seven markers have no common divisor, so that no two of many weights share both.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B4513", "#3B1F8B")
GREY = "#6B6B6B"  # random weights, and what is no weights at all
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1.5, 1)))
PIXELS_PER_INCH = 160
LETTER = 0.0088  # inches that a letter takes per point of its size, amply, as bold ones take more

RULES: Any = {  # Any: the stubs list every permitted key
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.8,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "savefig.facecolor": "white",
}


@dataclass(frozen=True)
class Look:
    colour: str
    marker: str
    dash: Any

    def line(self) -> dict[str, Any]:
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash}


def looks(weights: Sequence[str]) -> dict[str, Look]:
    """The look of every weights, the same in all figures of a study; "random" is grey."""
    result = {}
    named = [name for name in weights if name != RANDOM]
    for number, name in enumerate(weights):
        colour = GREY if name == RANDOM else COLOURS[named.index(name) % len(COLOURS)]
        result[name] = Look(colour, MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)])
    return result


@contextlib.contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of that size in inches under the house rules; made without pyplot, so no display is asked for."""
    with matplotlib.rc_context(RULES):
        yield Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.04, hspace=0.03))


def panels(figure: Figure, rows: int, columns: int, **options: Any) -> np.ndarray:
    """Axes (rows, columns)."""
    return np.asarray(figure.subplots(rows, columns, squeeze=False, **options))


def grid_shape(count: int, columns: int = 3) -> tuple[int, int]:
    """(rows, columns) for that many panels."""
    columns = min(count, columns)
    return -(-count // columns), columns


def curve(axis: Axes, rows: pd.DataFrame, column: str, look: Look) -> None:
    """Mean Dice against a column, with a band, or a bar at a single point, of ± 1 sd over repeats, within 0 … 1."""
    rows = rows.sort_values(column)
    x, mean = rows[column].to_numpy(), rows["dice_mean"].to_numpy()
    sd = np.nan_to_num(rows["dice_sd"].to_numpy())
    low, high = np.clip(mean - sd, 0, 1), np.clip(mean + sd, 0, 1)
    axis.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axis.plot(x, mean, **look.line())
    if len(x) == 1:
        axis.errorbar(x, mean, (mean - low, high - mean), color=look.colour, capsize=3)


def label_panels(axes: np.ndarray, x: str, y: str) -> None:
    """x below the bottom row, y left of the first column."""
    for axis in axes[-1]:
        axis.set_xlabel(x)
    for axis in axes[:, 0]:
        axis.set_ylabel(y)


def key_of(styles: dict[str, Look], **options: Any) -> list[Line2D]:
    return [Line2D([], [], label=name, **(look.line() | options)) for name, look in styles.items()]


def legend_below(figure: Figure, handles: Sequence[Any]) -> None:
    width = figure.get_size_inches()[0]
    longest = max((len(str(handle.get_label())) for handle in handles), default=10)
    most = max(1, min(len(handles), int(width / (0.075 * longest + 0.5))))
    lines = -(-len(handles) // most)
    columns = -(-len(handles) // lines)  # lines of even length
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)


def percent(fraction: float) -> str:
    return f"{100 * fraction:g} %"


def broken(text: str, inches: float, size: float) -> str:
    """The text in lines of at most so many inches at that size, broken after a space, `_` or `-` where there is one."""
    most = max(1, int(inches / (LETTER * size)))
    lines = [""]
    for piece in re.findall(rf"[^\s_-]{{0,{most}}}[\s_-]|[^\s_-]{{1,{most}}}", text):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > most:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def clear_ticks(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)


def _settle(figure: Figure) -> None:
    """Lay the figure out once and round the result: the last bits of the solver's answer depend on where its
    variables lie in memory, and would show in a few pixels.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        x0, y0, x1, y1 = np.round(axis.get_position(original=True).extents, 5)
        axis.set_position((x0, y0, x1 - x0, y1 - y0))


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write `<name>.png` and `<name>.pdf`, each whole or not at all, without dates; returns the PNG's path."""
    with matplotlib.rc_context(RULES):
        _settle(figure)
    for ending, metadata in (("pdf", {"CreationDate": None, "Producer": None}), ("png", {"Software": None})):
        stream = io.BytesIO()
        with matplotlib.rc_context(RULES):
            figure.savefig(stream, format=ending, dpi=PIXELS_PER_INCH, metadata=metadata)
        write_bytes(folder / f"{name}.{ending}", stream.getvalue())
    return folder / f"{name}.png"
