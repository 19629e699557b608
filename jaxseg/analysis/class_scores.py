"""Scores class by class, of studies whose models tell several apart."""

import numpy as np
import pandas as pd

from jaxseg.analysis.cells import CONDITION
from jaxseg.analysis.scores import COLUMNS, COUNTS, Problem, Results, RunState, read_table, wrong_score
from jaxseg.evaluation.metrics import dice

_IMAGE = ["budget", "tested_on", "image"]


def read_class_scores(results: Results) -> pd.DataFrame | None:
    """Rows of all finished runs, the columns of scores and `class`; None in the ordinary case of one class.

    Raises:
        InputError: the table of a run is missing or damaged, or disagrees with its scores.
    """
    if results.study.recipe.model.classes == 1:
        return None
    return pd.concat([_read(state) for state in results.finished()], ignore_index=True)


def _read(state: RunState) -> pd.DataFrame:
    scores = pd.read_parquet(state.folder.scores)  # found whole when the results were read
    classes = state.run.recipe.model.classes
    table = read_table(state, state.folder.class_scores, lambda table: _problem(table, scores, classes))
    return table[[*COLUMNS, "class"]].astype(dict.fromkeys(COUNTS, np.int64))


def _problem(table: pd.DataFrame, scores: pd.DataFrame, classes: int) -> Problem | None:
    missing = [name for name in (*COLUMNS, "class") if name not in table.columns]
    if missing:
        return f"lacks columns: {', '.join(missing)}", list(table.columns), [*COLUMNS, "class"]
    if (table.groupby(_IMAGE)["class"].nunique() != classes).any() or table.duplicated([*_IMAGE, "class"]).any():
        return "lacks or repeats a class of an image", None, f"{classes} classes of every image, each once"
    means = table.groupby(_IMAGE)[["dice", "jaccard"]].mean()
    images = scores.set_index(_IMAGE)[["dice", "jaccard"]].sort_index()
    if not means.index.equals(images.index) or not np.allclose(means, images, atol=1e-5):
        return "disagrees with scores.parquet", None, "means over the classes equal to the images' scores"
    return wrong_score(table)


def summarise_classes(table: pd.DataFrame) -> pd.DataFrame:
    """Per condition and class: mean over images, then mean and standard deviation (n - 1) over repeats.

    `shown` counts the images that show the class; in the others it scores 1 where it is not found, else 0.
    """
    table = table.assign(shown=table["true_positive"] + table["false_negative"] > 0)
    runs = table.groupby([*CONDITION, "class", "repeat"], sort=True).agg(
        images=("image", "size"),
        shown=("shown", "sum"),
        dice=("dice", "mean"),
        jaccard=("jaccard", "mean"),
        hit=("true_positive", "sum"),
        extra=("false_positive", "sum"),
        missed=("false_negative", "sum"),
    )
    runs["pooled_dice"] = dice(runs["hit"], runs["extra"], runs["missed"])
    groups = runs.reset_index().groupby([*CONDITION, "class"], sort=True)
    return groups.agg(
        repeats=("repeat", "size"),
        images=("images", "first"),
        shown=("shown", "first"),
        dice_mean=("dice", "mean"),
        dice_sd=("dice", "std"),
        jaccard_mean=("jaccard", "mean"),
        pooled_dice_mean=("pooled_dice", "mean"),
    ).reset_index()
