"""Dice against epochs at every data fraction: does longer training replace better weights?"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from jaxseg.analysis.figures import all_foreground
from jaxseg.analysis.figures.style import (
    broken,
    curve,
    drawing,
    key_of,
    label_panels,
    legend_below,
    looks,
    panels,
    percent,
)
from jaxseg.config import Study

LOG_FROM = 8  # last budget over first from which epochs are drawn on a logarithmic axis


def budget_curves(study: Study, budgets: pd.DataFrame) -> Figure:
    """Rows: datasets; columns: fractions; best model so far at each budget, band: ± 1 sd over repeats."""
    styles = looks(study.weights)
    rows, columns = len(study.datasets), len(study.fractions)
    with drawing(max(4.6, 2.5 * columns + 0.8), 2.7 * rows + 0.6) as figure:
        axes = panels(figure, rows, columns, sharey="row")
        for row, dataset in enumerate(study.datasets):
            for column, fraction in enumerate(study.fractions):
                axis = axes[row, column]
                here = budgets[(budgets["trained_on"] == dataset) & (budgets["fraction"] == fraction)]
                for name, look in styles.items():
                    curve(axis, here[here["weights"] == name], "budget", look)
                all_foreground.draw(axis, study, here)
                epochs = study.recipe_at(fraction).budgets
                if epochs[-1] >= LOG_FROM * epochs[0]:
                    axis.set_xscale("log")
                    axis.xaxis.set_minor_locator(NullLocator())
                axis.set_xticks(_spread(epochs), [f"{epoch:g}" for epoch in _spread(epochs)])
                axis.set_title(broken(f"{dataset}, {percent(fraction)}", 2.3, 9), fontsize=9)
        label_panels(axes, "epochs", "Dice")
        legend_below(figure, [*key_of(styles), *all_foreground.key(study)])
    return figure


def _spread(epochs: tuple[int, ...]) -> list[int]:
    """At most four ticks, so that labels keep their distance; first and last always."""
    if len(epochs) <= 4:
        return list(epochs)
    return [epochs[round(place)] for place in np.linspace(0, len(epochs) - 1, 4)]
