"""How windows are laid changes scores a little: the same model with windows of other sizes and strides.

The paper says that "predictions are averaged over a window size of 128 pixels", which can be read in several ways.
"""

from pathlib import Path

import pandas as pd

from jaxseg.evaluation.scoring import score
from jaxseg.files import write_text
from jaxseg.inference.trained import load
from jaxseg.run_folder import RunFolder


def ablate(folder: RunFolder, data_dir: Path) -> pd.DataFrame:
    """Mean Dice and Jaccard per reading on the run's own test images; also written to `ablation.csv`."""
    run, model = folder.config(), load(folder.path)
    rows = []
    for reading, crop, stride in readings(run.recipe.crop):
        scored = score(model, run.recipe.budgets[-1], run.dataset, data_dir, crop=crop, stride=stride)
        scores = pd.DataFrame([image.row for image in scored])
        means = {"dice": scores.dice.mean(), "jaccard": scores.jaccard.mean(), "images": len(scores)}
        rows.append({"reading": reading, "window": crop, "stride": stride, **means})
    table = pd.DataFrame(rows)
    write_text(folder.ablation, table.to_csv(index=False))
    return table


def readings(crop: int) -> list[tuple[str, int, int]]:
    """What the sentence may mean: (name, side of the windows, stride), pixels."""
    half = max(32, crop // 2 // 32 * 32)
    return [
        ("training-size windows at half their side", crop, crop // 2),
        ("training-size windows side by side", crop, crop),
        ("half-size windows at half their side", half, half // 2),
        ("half-size windows side by side", half, half),
        ("training-size windows at a quarter of their side", crop, crop // 4),
    ]
