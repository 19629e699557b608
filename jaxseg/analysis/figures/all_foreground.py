"""The dotted line of the answer "everything is foreground", in the curves of one class.

With several classes a score is the mean over them, and that answer, foreground of any class against background, is of
another kind: on one axis the two would only mislead.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jaxseg.analysis.figures.style import GREY
from jaxseg.config import Study


def draw(axis: Axes, study: Study, rows: pd.DataFrame) -> None:
    """A line at each `all_foreground_dice` of the rows; none with several classes."""
    if study.recipe.model.classes == 1:
        for answer in rows["all_foreground_dice"].unique():
            axis.axhline(answer, color=GREY, linestyle=":")


def key(study: Study) -> list[Line2D]:
    """For the legend; empty with several classes."""
    line = Line2D([], [], color=GREY, linestyle=":", label="everything foreground")
    return [line] if study.recipe.model.classes == 1 else []
