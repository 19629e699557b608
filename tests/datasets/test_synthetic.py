"""Synthetic tissue: deterministic, plausible, solvable but not by a threshold, different between sites."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.datasets import synthetic
from jaxseg.datasets.example import InstanceMap, Pixels
from jaxseg.datasets.stain import SITES, photograph

FOREGROUND = {"glands": (0.3, 0.55), "nuclei": (0.15, 0.27)}


BINARY = [description.name for description in synthetic.DESCRIPTIONS if not description.classes]


@pytest.fixture(scope="module", params=BINARY)
def drawn(request: pytest.FixtureRequest) -> tuple[str, list[tuple[Pixels, InstanceMap]]]:
    examples = synthetic.examples(request.param)[::4]
    return request.param, [example.read() for example in examples]


def _best_threshold_dice(images: list[Pixels], masks: list[InstanceMap]) -> float:
    """Foreground Dice of the best threshold on any colour channel, either side."""
    truth = np.concatenate([mask.ravel() > 0 for mask in masks])
    best = 0.0
    for channel in range(3):
        values = np.concatenate([image[..., channel].ravel() for image in images])
        for level in range(20, 250, 10):
            for guess in (values < level, values >= level):
                best = max(best, 2 * (guess & truth).sum() / (guess.sum() + truth.sum()))
    return best


def test_counts_patients_and_ids() -> None:
    for description in synthetic.DESCRIPTIONS:
        examples = synthetic.examples(description.name)
        splits = [example.split for example in examples]
        assert (
            {split: splits.count(split) for split in ("train", "test")}
            == description.counts
            == {"train": 24, "test": 8}
        )
        assert len({example.id for example in examples}) == 32
        train, test = ({e.patient for e in examples if e.split == split} for split in ("train", "test"))
        assert (len(train), len(test), train & test) == (4, 8, set())


def test_images_look_like_the_description(drawn: tuple[str, list[tuple[Pixels, InstanceMap]]]) -> None:
    name, images = drawn
    low, high = FOREGROUND[name.split("_")[1]]
    assert low < np.mean([(instances > 0).mean() for _, instances in images]) < high
    for pixels, instances in images:
        assert pixels.dtype == np.uint8
        assert pixels.shape == (*instances.shape, 3)
        assert instances.dtype == np.int32
        assert sorted(np.unique(instances)) == list(range(instances.max() + 1))
        assert np.mean(pixels[..., 1]) < np.mean(pixels[..., 0])  # H&E: green is absorbed most
    assert len({pixels.shape for pixels, _ in images}) > 1


def test_each_object_is_one_region(drawn: tuple[str, list[tuple[Pixels, InstanceMap]]]) -> None:
    for _, instances in drawn[1]:
        for number in range(1, instances.max() + 1):
            sizes = np.bincount(ndimage.label(instances == number)[0].ravel())[1:]
            assert sizes.max() >= 0.9 * sizes.sum()


def test_a_threshold_does_not_solve_it(drawn: tuple[str, list[tuple[Pixels, InstanceMap]]]) -> None:
    images, masks = zip(*drawn[1], strict=True)
    assert _best_threshold_dice(list(images), list(masks)) < 0.8


def test_drawing_is_deterministic_and_images_differ() -> None:
    first, again = (synthetic.draw("glands", "a", "train_0", 0) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    other = synthetic.draw("glands", "a", "train_0", 1)
    assert other[0].shape != first[0].shape or (other[0] != first[0]).any()


@pytest.mark.parametrize("task", ["glands", "nuclei"])
def test_sites_differ_in_colour_scale_and_noise(task: str) -> None:
    sites = {site: [synthetic.draw(task, site, f"train_{k}", 0) for k in range(4)] for site in "ab"}
    colour = {site: np.mean([pixels.mean((0, 1)) for pixels, _ in images], 0) for site, images in sites.items()}
    assert np.abs(colour["a"] - colour["b"]).max() > 10
    area = {site: np.median([(i > 0).sum() / i.max() for _, i in images]) for site, images in sites.items()}
    assert area["b"] > 1.2 * area["a"]
    grain = {
        site: np.median([np.abs(np.diff(p.astype(float), axis=1)).mean() for p, _ in images])
        for site, images in sites.items()
    }
    assert grain["a"] != pytest.approx(grain["b"], rel=0.05)


@pytest.mark.parametrize("site", ["a", "b"])
def test_tissue_has_three_classes_where_they_belong(site: str) -> None:
    for pixels, classes in [synthetic.draw("tissue", site, f"train_{k}", 1) for k in range(4)]:
        assert np.unique(classes).tolist() == [0, 1, 2, 3]
        bright = [pixels[classes == value].mean() for value in range(4)]
        assert bright[2] > max(bright[0], bright[1])  # lumina are nearly white
        assert bright[3] < min(bright[0], bright[1])  # lymphocytes are dark
        around = ndimage.binary_dilation(classes == 2) & (classes != 2)
        assert (classes[around] == 1).mean() > 0.95  # a lumen lies in epithelium
        assert 0.01 < (classes == 3).mean() < 0.2


def test_dyes_take_light_by_the_law_of_beer_and_lambert() -> None:
    half, quarter = np.full((8, 8), 0.5, np.float32), np.full((8, 8), 0.25, np.float32)
    seen = photograph(half, quarter, dataclasses.replace(SITES["a"], noise=0), np.random.default_rng(0))
    densities = np.array([0.95 * 0.5 + 0.10 * 0.25, 1.05 * 0.5 + 0.80 * 0.25, 0.45 * 0.5 + 0.32 * 0.25])
    assert (seen == np.rint(255 * np.array([0.96, 0.95, 0.96]) / np.e**densities)).all()
