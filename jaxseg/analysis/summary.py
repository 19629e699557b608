"""Tables of means: per condition over repeats, per epoch budget, in and out of domain."""

import numpy as np
import pandas as pd

from jaxseg.analysis.cells import CONDITION, Cells, Condition
from jaxseg.analysis.comparisons import final_budget
from jaxseg.analysis.intervals import Spread, interval
from jaxseg.config import Study
from jaxseg.evaluation.metrics import dice, jaccard

METRICS = ("dice", "jaccard", "pooled_dice", "pooled_jaccard")


def per_run(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per run, budget, test dataset and subset: mean per image, and pooled from summed counts."""
    parts = [scores.assign(subset="all")]
    several = scores.groupby("tested_on")["subset"].transform("nunique") > 1
    if several.any():
        parts.append(scores[several])
    table = pd.concat(parts, ignore_index=True)
    groups = table.groupby([*CONDITION, "repeat", "subset"], sort=True)
    result = groups.agg(
        images=("image", "size"),
        dice=("dice", "mean"),
        jaccard=("jaccard", "mean"),
        hit=("true_positive", "sum"),
        extra=("false_positive", "sum"),
        missed=("false_negative", "sum"),
    ).reset_index()
    counts = [result.pop(name) for name in ("hit", "extra", "missed")]
    return result.assign(pooled_dice=dice(*counts), pooled_jaccard=jaccard(*counts))


def summarise(scores: pd.DataFrame, cells: Cells, baseline: pd.DataFrame, classes: int = 1) -> pd.DataFrame:
    """Mean and standard deviation over repeats of every condition and subset, beside the all-foreground answer.

    `*_sd` has n - 1 in the denominator and is NaN for one repeat. `low` and `high` bound the mean Dice per image (95 %,
    over patients and repeats; for "all" images only). `gain` is the mean Dice per image above
    calling everything foreground; NaN with several classes, whose mean Dice is of another kind.
    """
    runs = per_run(scores)
    groups = runs.groupby([*CONDITION, "subset"], sort=True)
    table = groups.agg(repeats=("repeat", "size"), images=("images", "first")).reset_index()
    for metric in METRICS:
        table[f"{metric}_mean"] = groups[metric].mean().to_numpy()
        table[f"{metric}_sd"] = groups[metric].std(ddof=1).to_numpy()
    bounds = {condition: interval(Spread.of(cell), limits=(0.0, 1.0)) for condition, cell in cells.items()}
    keys = [Condition(*row) for row in table[CONDITION].itertuples(index=False, name=None)]
    whole = table["subset"] == "all"
    table["low"] = np.where(whole, [bounds[key][0] for key in keys], np.nan)
    table["high"] = np.where(whole, [bounds[key][1] for key in keys], np.nan)
    answers = baseline[["tested_on", "subset", "dice", "pooled_dice"]].rename(
        columns={"dice": "all_foreground_dice", "pooled_dice": "all_foreground_pooled_dice"}
    )
    table = table.merge(answers, on=["tested_on", "subset"], how="left", validate="many_to_one")
    table["gain"] = table["dice_mean"] - table["all_foreground_dice"] if classes == 1 else np.nan
    return table


def at_final_budget(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Rows of the last epoch budget of their fraction."""
    last = {fraction: final_budget(study, fraction) for fraction in study.fractions}
    return table[table["budget"] == table["fraction"].map(last)].reset_index(drop=True)


def out_of_domain(summary: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Last budget, all images of each test dataset; `lost` is the mean Dice below the own test set's."""
    table = at_final_budget(summary[summary["subset"] == "all"], study)
    own = table[table["trained_on"] == table["tested_on"]]
    key = ["trained_on", "weights", "fraction"]
    table = table.merge(own[[*key, "dice_mean"]].rename(columns={"dice_mean": "own"}), on=key, how="left")
    table["lost"] = table["own"] - table["dice_mean"]
    kept = [*key, "tested_on", "repeats", "images", "dice_mean", "dice_sd", "low", "high", "lost"]
    return table[[*kept, "all_foreground_dice"]]


def uneven_repeats(study: Study, cells: Cells) -> tuple[str, ...]:
    """A note where weights that stand side by side have finished different repeats; empty where none do."""
    places = [
        f"{dataset} at {100 * fraction:g} %"
        for dataset in study.datasets
        for fraction in study.fractions
        if len(_sets_of_repeats(study, cells, dataset, fraction)) > 1
    ]
    if not places:
        return ()
    return (
        f"Weights have finished different repeats here: {', '.join(places)}. Scores and curves are means over the "
        "repeats that each has, so they cannot be set side by side there. The answers rest on the repeats that all "
        "weights share, the comparisons on those that both of a pair have.",
    )


def _sets_of_repeats(study: Study, cells: Cells, dataset: str, fraction: float) -> set[tuple[int, ...]]:
    budget = final_budget(study, fraction)
    conditions = [Condition(dataset, name, fraction, budget, dataset) for name in study.weights]
    return {cells[condition].repeats for condition in conditions if condition in cells}


def budgets(summary: pd.DataFrame) -> pd.DataFrame:
    """Own test images at every epoch budget: what training longer gave."""
    own = summary[(summary["trained_on"] == summary["tested_on"]) & (summary["subset"] == "all")]
    table = own.sort_values(["trained_on", "fraction", "weights", "budget"]).reset_index(drop=True)
    groups = table.groupby(["trained_on", "fraction", "weights"])
    table["gain_over_last_budget"] = groups["dice_mean"].diff()
    kept = ["trained_on", "fraction", "weights", "budget", "repeats", "dice_mean", "dice_sd", "low", "high"]
    return table[[*kept, "gain_over_last_budget", "all_foreground_dice"]]
