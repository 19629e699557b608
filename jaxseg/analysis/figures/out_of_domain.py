"""Trained here, tested there: one matrix per initial weights."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from jaxseg.analysis.figures.style import LETTER, broken, drawing, grid_shape, panels
from jaxseg.config import Study

COLOURS = "cividis"  # even in lightness, readable by people with colour-blindness
CELL = 1.05  # inches
LABEL = 1.4  # inches that a dataset's name may take beside a matrix, in several lines if it is long


def out_of_domain_matrix(study: Study, table: pd.DataFrame) -> Figure:
    """Mean Dice ± sd over repeats at the largest fraction; rows trained on, columns tested on.

    Args:
        table: of `summary.out_of_domain`.
    """
    fraction = study.fractions[-1]
    here = table[(table["fraction"] == fraction) & table["tested_on"].isin(study.tested_on)]
    rows, columns = grid_shape(len(study.weights))
    scale = Normalize(*_range(here["dice_mean"].to_numpy()))
    names = {name: broken(name, LABEL, 9) for name in study.tested_on}
    width, height = CELL * len(study.tested_on) + 0.9, 0.8 * len(study.datasets) + 0.9
    long = 9 * LETTER * max(len(line) for name in names.values() for line in name.split("\n"))
    with drawing(max(4.2, width * columns + 1.2 + long), height * rows + 0.6 + long / 2) as figure:
        axes = panels(figure, rows, columns, sharex=True, sharey=True)
        for axis, name in zip(axes.flat, study.weights, strict=False):
            mean, sd = (_matrix(study, here[here["weights"] == name], c) for c in ("dice_mean", "dice_sd"))
            sns.heatmap(
                mean,
                ax=axis,
                cmap=COLOURS,
                vmin=scale.vmin,
                vmax=scale.vmax,
                annot=_texts(mean.to_numpy(), sd.to_numpy()),
                fmt="",
                annot_kws={"fontsize": 8},
                cbar=False,
                linewidths=1.5,
                mask=mean.isna().to_numpy(),
            )
            axis.set(title=broken(name, CELL * len(study.tested_on) + 0.5, 10), xlabel="", ylabel="")
            axis.tick_params(length=0)
            tested_on = [names[name] for name in study.tested_on]
            axis.set_xticks(axis.get_xticks(), tested_on, rotation=30, ha="right", rotation_mode="anchor")
            axis.set_yticks(axis.get_yticks(), [names[name] for name in study.datasets])
            axis.tick_params(axis="y", rotation=0)
        for axis in axes.flat[len(study.weights) :]:
            axis.set_visible(False)
        figure.supxlabel("tested on", fontsize=9)
        figure.supylabel("trained on", fontsize=9)
        bar = figure.colorbar(
            ScalarMappable(scale, COLOURS), ax=axes, shrink=0.9, pad=0.3 / figure.get_size_inches()[0]
        )
        bar.set_label("Dice")
    return figure


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low - 0.05, high + 0.05)


def _matrix(study: Study, rows: pd.DataFrame, column: str) -> pd.DataFrame:
    matrix = rows.pivot(index="trained_on", columns="tested_on", values=column)
    return matrix.reindex(index=list(study.datasets), columns=list(study.tested_on)).astype(float)


def _texts(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    texts = [f"{m:.3f}" if np.isnan(s) else f"{m:.3f}\n±{s:.3f}" for m, s in zip(mean.flat, sd.flat, strict=True)]
    return np.array(texts).reshape(mean.shape)
