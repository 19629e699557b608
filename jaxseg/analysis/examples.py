"""Chooses test images to show, and predicts them with every weights."""

from collections.abc import Callable

import numpy as np

from jaxseg.analysis.comparisons import final_budget
from jaxseg.analysis.feature_vectors import OpenModel, TestImages
from jaxseg.analysis.figures.overlays import Example
from jaxseg.analysis.scores import Results

THRESHOLD = 0.5
PLACES = {"hardest image": 0.0, "median image": 0.5, "easiest image": 1.0}


def chosen_images(results: Results, dataset: str) -> dict[str, str]:
    """Image id -> why: hardest, median and easiest by mean Dice over all weights and repeats.

    A rule instead of an eye: nobody picks the pictures that flatter. Largest fraction, last budget.
    """
    study, scores = results.study, results.scores
    fraction = study.fractions[-1]
    here = scores[
        (scores["trained_on"] == dataset)
        & (scores["tested_on"] == dataset)
        & (scores["fraction"] == fraction)
        & (scores["budget"] == final_budget(study, fraction))
    ]
    ranked = list(here.groupby("image")["dice"].mean().sort_values(kind="stable").index)
    chosen: dict[str, str] = {}
    for why, place in PLACES.items():
        if ranked:
            chosen.setdefault(str(ranked[round(place * (len(ranked) - 1))]), why)
    return chosen


def examples_of(
    results: Results, dataset: str, test: TestImages, open_model: OpenModel, progress: Callable[[str], None]
) -> list[Example]:
    """Predictions of the chosen images by the first finished repeat of every weights; empty where none has finished."""
    chosen = {image: why for image, why in chosen_images(results, dataset).items() if image in test.ids}
    numbers = [test.ids.index(image) for image in chosen]
    pixels, truths = [], []
    for number in numbers:
        height, width = (int(length) for length in test.sizes[number])
        pixels.append(test.pixels[number, :height, :width])
        truths.append(test.masks[number, :height, :width] > 0)
    predictions: dict[str, list[np.ndarray]] = {}
    for weights in results.study.weights if chosen else ():
        states = results.find(dataset=dataset, weights=weights, fraction=results.study.fractions[-1])
        if states:
            progress(f"pictures of {states[0].run.run_id}")
            probabilities = open_model(states[0].folder.path).predict(pixels)
            predictions[weights] = [probability > THRESHOLD for probability in probabilities]
    if not predictions:
        return []
    return [
        Example(
            image,
            why,
            pixels[i],
            truths[i],
            {name: masks[i] for name, masks in predictions.items()},
            {name: dice(masks[i], truths[i]) for name, masks in predictions.items()},
        )
        for i, (image, why) in enumerate(chosen.items())
    ]


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Of two masks; 1 where both are empty."""
    whole = prediction.sum() + truth.sum()
    return float(2 * (prediction & truth).sum() / whole) if whole else 1.0
