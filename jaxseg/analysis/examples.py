"""Chooses test images to show, and predicts them with every weights."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxseg.analysis.comparisons import final_budget
from jaxseg.analysis.feature_vectors import OpenModel
from jaxseg.analysis.scores import Results
from jaxseg.datasets.loading import Images

PLACES = {"hardest image": 0.0, "median image": 0.5, "easiest image": 1.0}


@dataclass(frozen=True)
class Example:
    """One test image: `pixels` (H, W, 3) uint8, `truth` (H, W) bool, and per weights the prediction (H, W) bool with
    its scored Dice; `why` it was chosen.
    """

    image: str
    why: str
    pixels: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    predictions: dict[str, NDArray[np.bool_]]
    dice: dict[str, float]


def chosen_images(results: Results, dataset: str) -> dict[str, str]:
    """Image id -> why: hardest, median and easiest by mean Dice over all weights and repeats.

    A rule instead of an eye: nobody picks the pictures that flatter. Largest fraction, last budget.
    """
    ranked = list(_scores_of(results, dataset).groupby("image")["dice"].mean().sort_values(kind="stable").index)
    chosen: dict[str, str] = {}
    for why, place in PLACES.items():
        if ranked:
            chosen.setdefault(str(ranked[round(place * (len(ranked) - 1))]), why)
    return chosen


def _scores_of(results: Results, dataset: str) -> pd.DataFrame:
    """Rows of the own test images, largest fraction, last budget: what the models that are opened were scored with."""
    scores, fraction = results.scores, results.study.fractions[-1]
    return scores[
        (scores["trained_on"] == dataset)
        & (scores["tested_on"] == dataset)
        & (scores["fraction"] == fraction)
        & (scores["budget"] == final_budget(results.study, fraction))
    ]


def examples_of(
    results: Results, dataset: str, test: Images, open_model: OpenModel, progress: Callable[[str], None]
) -> list[Example]:
    """Predictions of the chosen images by the first finished repeat of every weights; empty where none has finished.

    Masks are foreground of any class, from the rule that scoring has; Dice is the one that was scored.
    """
    from jaxseg.inference.likeliest import likeliest  # loads JAX, which a report without pictures does without

    chosen = {image: why for image, why in chosen_images(results, dataset).items() if image in test.ids}
    numbers = [test.ids.index(image) for image in chosen]
    pixels, truths = [], []
    for number in numbers:
        height, width = (int(length) for length in test.sizes[number])
        pixels.append(test.pixels[number, :height, :width])
        truths.append(test.masks[number, :height, :width] > 0)
    scores = _scores_of(results, dataset).set_index(["weights", "repeat", "image"])["dice"]
    predictions: dict[str, list[np.ndarray]] = {}
    repeats: dict[str, int] = {}
    for weights in results.study.weights if chosen else ():
        states = results.find(dataset=dataset, weights=weights, fraction=results.study.fractions[-1])
        if states:
            progress(f"pictures of {states[0].run.run_id}")
            repeats[weights] = states[0].run.repeat
            probabilities = open_model(states[0].folder.path).probabilities(pixels)
            predictions[weights] = [likeliest(each) > 0 for each in probabilities]
    if not predictions:
        return []
    return [
        Example(
            image,
            why,
            pixels[i],
            truths[i],
            {name: masks[i] for name, masks in predictions.items()},
            {name: float(scores[name, repeat, image]) for name, repeat in repeats.items()},
        )
        for i, (image, why) in enumerate(chosen.items())
    ]
