import numpy as np
from fabricated_study import FakeModel, fake_images

from jaxseg.analysis.examples import chosen_images, dice, examples_of
from jaxseg.analysis.scores import read_results


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
        for name, mask in example.predictions.items():
            assert mask.shape == (height, width)
            assert example.dice[name] == dice(mask, example.truth)


def test_dice_of_masks():
    one, two = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert dice(one, two) == 1
    one[0], two[:, 0] = True, True
    assert dice(one, two) == 2 * 1 / 8
