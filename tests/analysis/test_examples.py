import numpy as np
import pandas as pd
from fabricated_study import FakeModel, fake_images

from jaxseg.analysis.examples import chosen_images, examples_of
from jaxseg.analysis.scores import read_results
from jaxseg.run_folder import RunFolder


def test_hardest_median_and_easiest_by_rule(finished_study):
    results = read_results(finished_study.folder)
    rows = results.scores.to_dict("records")
    sums: dict[str, list[float]] = {}
    for row in rows:
        if row["trained_on"] == row["tested_on"] == "tissue_a" and (row["fraction"], row["budget"]) == (1.0, 80):
            sums.setdefault(row["image"], []).append(row["dice"])
    ranked = sorted(sums, key=lambda image: np.mean(sums[image]))
    chosen = chosen_images(results, "tissue_a")
    assert list(chosen) == [ranked[0], ranked[10], ranked[19]]
    assert list(chosen.values()) == ["hardest image", "median image", "easiest image"]


def test_examples_hold_true_sizes_and_every_weights(finished_study):
    results = read_results(finished_study.folder)
    images = fake_images("tissue_a")
    found = examples_of(results, "tissue_a", images, FakeModel, lambda message: None)
    assert len(found) == 3
    for example in found:
        height, width = images.sizes[images.ids.index(example.image)]
        assert example.pixels.shape == (height, width, 3)
        assert example.truth.shape == (height, width)
        assert list(example.predictions) == list(results.study.weights)
        for mask in example.predictions.values():
            assert mask.shape == (height, width)


def test_dice_is_that_of_the_opened_run_in_the_scores(small_study):
    made = small_study(images=20)
    first = next(run for run in made.study.runs() if (run.weights, run.fraction) == ("random", 1.0))
    RunFolder.of(made.folder, first).done.unlink()
    found = examples_of(read_results(made.folder), "tissue_a", fake_images("tissue_a"), FakeModel, lambda message: None)
    assert len(found) == 3
    for example in found:
        for weights, repeat in (("random", 1), ("pathology", 0)):
            [run] = [r for r in made.study.runs() if (r.weights, r.fraction, r.repeat) == (weights, 1.0, repeat)]
            table = pd.read_parquet(RunFolder.of(made.folder, run).scores)
            row = table[
                (table["budget"] == 80) & (table["tested_on"] == "tissue_a") & (table["image"] == example.image)
            ]
            assert example.dice[weights] == row["dice"].item()


class TwoClasses:
    """Everywhere: .3 + .3, so that background, .4, is likeliest; in the first row .5 of the second class."""

    def __init__(self, folder):
        pass

    def probabilities(self, images):
        found = [np.full((*image.shape[:2], 2), 0.3) for image in images]
        for each in found:
            each[0] = (0.1, 0.5)
        return found


def test_a_pixel_is_foreground_where_a_class_is_likeliest_as_in_scoring(finished_study):
    results = read_results(finished_study.folder)
    found = examples_of(results, "tissue_a", fake_images("tissue_a"), TwoClasses, lambda message: None)
    assert len(found) == 3
    for example in found:
        for mask in example.predictions.values():
            assert mask[0].all()
            assert not mask[1:].any()
