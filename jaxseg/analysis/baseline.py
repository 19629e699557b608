"""The same answer for every pixel, foreground or not: what a score has to beat before it means anything."""

import numpy as np
import pandas as pd

from jaxseg.evaluation.metrics import dice, jaccard


def all_foreground(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of calling every pixel foreground, one row per test dataset and subset ("all" first).

    With P foreground pixels of n: true positives P, false positives n - P, so Dice 2P / (P + n), Jaccard P / n; an
    image without foreground scores 0. `dice`, `jaccard` are means over images, `pooled_*` come from summed
    counts, `foreground` is the pooled share of foreground pixels. `without_foreground` counts the images that have
    none, of which alone the answer "nothing is foreground" is right: its mean Dice is their share of all.
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
    """Test dataset -> mean Dice over all images of the better of the two answers; empty with several classes, whose
    Dice is a mean over them, which "everything is foreground" has none of.
    """
    whole = baseline[baseline["subset"] == "all"]
    best = np.maximum(whole["dice"], whole["without_foreground"] / whole["images"])
    return dict(zip(whole["tested_on"], best, strict=True)) if classes == 1 else {}


def without_foreground(baseline: pd.DataFrame, classes: int) -> list[str]:
    """A note per test dataset with images that have no foreground, which weigh much; none with several classes."""
    whole = baseline[(baseline["subset"] == "all") & (baseline["without_foreground"] > 0)]
    columns = (whole[name].tolist() for name in ("tested_on", "without_foreground", "images"))
    return [
        f"No foreground in {bare} of the {images} test images of {name}. Such an image scores 1 where a model finds "
        "nothing in it, 0 as soon as it finds a pixel: finding nothing anywhere gives a mean Dice of "
        f"{bare / images:.3f}."
        for name, bare, images in zip(*columns, strict=True)
        if classes == 1
    ]


def _row(tested_on: str, subset: str, images: pd.DataFrame) -> dict[str, object]:
    foreground, pixels = images["foreground"], images["pixels"]
    counts, sums = (foreground, pixels - foreground, 0), (foreground.sum(), pixels.sum() - foreground.sum(), 0)
    return {
        "tested_on": tested_on,
        "subset": subset,
        "images": len(images),
        "without_foreground": int((foreground == 0).sum()),
        "foreground": foreground.sum() / pixels.sum(),
        "dice": dice(*counts).mean(),
        "jaccard": jaccard(*counts).mean(),
        "pooled_dice": float(dice(*sums)),
        "pooled_jaccard": float(jaccard(*sums)),
    }
