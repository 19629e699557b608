"""Forest plot: every weights against the reference, with intervals and verdicts."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from jaxseg.analysis.comparisons import MARGIN
from jaxseg.analysis.figures.style import (
    Look,
    broken,
    drawing,
    grid_shape,
    key_of,
    legend_below,
    looks,
    panels,
    percent,
)
from jaxseg.config import Study

GAP = 0.7  # between fractions, in rows


def paired_differences(study: Study, comparisons: pd.DataFrame) -> Figure:
    """One panel per dataset; Dice points over the reference, 95 % interval (thin) and 90 % interval (thick)."""
    table = comparisons[comparisons["family"] == "reference"]
    others = {name: look for name, look in looks(study.weights).items() if name != study.weights[0]}
    rows, columns = grid_shape(len(study.datasets))
    lines = len(study.fractions) * (len(others) + GAP)
    with drawing(max(5.2, 4.6 * columns), rows * (0.27 * lines + 0.9) + 0.5) as figure:
        axes = panels(figure, rows, columns, sharex=True)
        for axis, dataset in zip(axes.flat, study.datasets, strict=False):
            _panel(axis, study, table[table["trained_on"] == dataset], others)
            axis.set_title(broken(dataset, 3.9, 10))
            axis.set_xlabel(f"Dice points over {study.weights[0]}")
        for axis in axes.flat[len(study.datasets) :]:
            axis.set_visible(False)
        legend_below(figure, key_of(others, linestyle="-"))
    return figure


def _panel(axis: Axes, study: Study, rows: pd.DataFrame, others: dict[str, Look]) -> None:
    axis.axvspan(-100 * MARGIN, 100 * MARGIN, color="#EFEFEF", zorder=0)
    axis.axvline(0, color="#444444", linewidth=0.9)
    beside = blended_transform_factory(axis.transAxes, axis.transData)
    ticks = []
    for block, fraction in enumerate(study.fractions):
        top = block * (len(others) + GAP)
        ticks.append(top + (len(others) - 1) / 2)
        for line, (name, look) in enumerate(others.items()):
            found = rows[(rows["fraction"] == fraction) & (rows["weights"] == name)]
            row, y = found.iloc[0], top + line
            for low, high, width in (("low", "high", 1.2), ("low_90", "high_90", 3.2)):
                ends = [100 * row[low], 100 * row[high]]
                axis.plot(ends, [y, y], color=look.colour, linewidth=width, solid_capstyle="butt")
            axis.plot(100 * row["difference"], y, look.marker, color=look.colour, markersize=6)
            axis.text(1.01, y, row["verdict"], transform=beside, va="center", fontsize=8, color=_ink(row))
    axis.set_yticks(ticks, [percent(fraction) for fraction in study.fractions])
    axis.set_ylim(ticks[-1] + len(others) / 2 + 0.2, -0.7)
    axis.grid(axis="y", visible=False)


def _ink(row: pd.Series) -> str:
    return "#000000" if row["verdict"] in ("better", "worse", "equivalent") else "#777777"


def has_data(comparisons: pd.DataFrame) -> bool:
    return bool(np.isfinite(comparisons["difference"].to_numpy(float)).any())
