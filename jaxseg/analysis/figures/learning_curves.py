"""Dice against the part of the training images: where do initial weights stop to matter?"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from jaxseg.analysis.figures import all_foreground
from jaxseg.analysis.figures.style import (
    LETTER,
    broken,
    curve,
    drawing,
    grid_shape,
    key_of,
    label_panels,
    legend_below,
    looks,
    panels,
    percent,
)
from jaxseg.config import Study

PANEL = 3.5  # inches that the axis of a panel is wide at least


def learning_curves(study: Study, final: pd.DataFrame, images: Mapping[tuple[str, float], str]) -> Figure:
    """One panel per dataset, own test images, last budget; band: ± 1 sd over repeats.

    Args:
        final: rows of `summary.at_final_budget`.
        images: (dataset, fraction) -> number of training images, or their range, where known.
    """
    rows, columns = grid_shape(len(study.datasets))
    styles = looks(study.weights)
    with drawing(max(4.6, 4.1 * columns), 3.4 * rows + 0.3) as figure:
        axes = panels(figure, rows, columns, sharey=True)
        for axis, dataset in zip(axes.flat, study.datasets, strict=False):
            own = final[(final["trained_on"] == dataset) & (final["tested_on"] == dataset)]
            own = own[own["subset"] == "all"]
            for name, look in styles.items():
                curve(axis, own[own["weights"] == name], "fraction", look)
            all_foreground.draw(axis, study, own)
            axis.set_title(broken(dataset, PANEL, 10))
            labels = [_tick(dataset, f, images) for f in study.fractions]
            axis.set_xticks(study.fractions, _thinned(study.fractions, labels))
            axis.set_xlim(*_limits(study.fractions))
        for axis in axes.flat[len(study.datasets) :]:
            axis.set_visible(False)
        label_panels(axes, "training images used", "Dice (mean per test image)")
        legend_below(figure, [*key_of(styles), *all_foreground.key(study)])
    return figure


def _limits(fractions: tuple[float, ...]) -> tuple[float, float]:
    margin = max(0.06 * (fractions[-1] - fractions[0]), 0.05 * fractions[-1])
    return fractions[0] - margin, fractions[-1] + margin


def _thinned(fractions: tuple[float, ...], labels: list[str]) -> list[str]:
    """The labels, empty where one would lie on another; first and last always."""
    low, high = _limits(fractions)
    places = [PANEL * (fraction - low) / (high - low) for fraction in fractions]
    widths = [9 * LETTER * (1 + max(map(len, label.split("\n")))) for label in labels]

    def apart(one: int, other: int) -> bool:
        return places[other] - places[one] >= (widths[one] + widths[other]) / 2

    last = len(labels) - 1
    kept = [0]
    for number in range(1, last):
        if apart(kept[-1], number) and apart(number, last):
            kept.append(number)
    return [label if number in (*kept, last) else "" for number, label in enumerate(labels)]


def _tick(dataset: str, fraction: float, images: Mapping[tuple[str, float], str]) -> str:
    count = images.get((dataset, fraction))
    return percent(fraction) if count is None else f"{percent(fraction)}\nn = {count}"
