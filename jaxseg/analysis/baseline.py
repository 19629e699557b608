"""The answer "everything is foreground": what a score has to beat before it means anything."""

import pandas as pd

from jaxseg.evaluation.metrics import dice, jaccard


def all_foreground(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of calling every pixel foreground, one row per test dataset and subset ("all" first).

    With P foreground pixels of n: true positives P, false positives n - P, so Dice 2P / (P + n), Jaccard P / n; an
    image without foreground scores 0. `dice`, `jaccard` are means over images, `pooled_*` come from summed
    counts, `foreground` is the pooled share of foreground pixels.
    """
    truth = scores.drop_duplicates(["tested_on", "image"])
    counts = pd.DataFrame(
        {
            "tested_on": truth["tested_on"],
            "subset": truth["subset"],
            "foreground": truth["true_positive"] + truth["false_negative"],
            "pixels": truth[["true_positive", "false_positive", "false_negative", "true_negative"]].sum(axis=1),
        }
    )
    rows = []
    for name, images in counts.groupby("tested_on", sort=True):
        rows.append(_row(str(name), "all", images))
        if images["subset"].nunique() > 1:
            rows += [_row(str(name), str(subset), part) for subset, part in images.groupby("subset", sort=True)]
    return pd.DataFrame(rows)


def to_beat(baseline: pd.DataFrame, classes: int) -> dict[str, float]:
    """Test dataset -> mean Dice of the answer over all images; empty with several classes, whose Dice is a mean over
    them, which this answer has none of.
    """
    whole = baseline[baseline["subset"] == "all"]
    return dict(zip(whole["tested_on"], whole["dice"], strict=True)) if classes == 1 else {}


def _row(tested_on: str, subset: str, images: pd.DataFrame) -> dict[str, object]:
    foreground, pixels = images["foreground"], images["pixels"]
    counts, sums = (foreground, pixels - foreground, 0), (foreground.sum(), pixels.sum() - foreground.sum(), 0)
    return {
        "tested_on": tested_on,
        "subset": subset,
        "images": len(images),
        "foreground": foreground.sum() / pixels.sum(),
        "dice": dice(*counts).mean(),
        "jaccard": jaccard(*counts).mean(),
        "pooled_dice": float(dice(*sums)),
        "pooled_jaccard": float(jaccard(*sums)),
    }
