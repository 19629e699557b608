"""Two views show the same image, near each other, at most magnified; pairs are a function of (seed, position)."""

import itertools

import numpy as np
import pytest

from jaxseg.pretraining.config import PretrainConfig
from jaxseg.pretraining.views import pairs

SIZES = np.array([[64, 64], [500, 700], [90, 1000], [40, 300]])


def config(**changes: object) -> PretrainConfig:
    return PretrainConfig(**{"crop": 64, "batch": 8, "apart": 0.5, "zoom": 2.0} | changes)  # type: ignore[arg-type]


def test_both_views_are_of_the_same_images_at_other_places() -> None:
    for first, second in itertools.islice(pairs(config(), SIZES), 5):
        np.testing.assert_array_equal(first.image, second.image)
        large = first.image > 0
        assert (first.centre[large] != second.centre[large]).any(1).all()
        assert not np.allclose(first.matrix, second.matrix)


@pytest.mark.parametrize("apart", [0.0, 0.5, 3.0])
def test_centres_are_no_further_apart_than_asked(apart: float) -> None:
    found = list(itertools.islice(pairs(config(apart=apart), SIZES), 40))
    image = np.concatenate([first.image for first, _ in found])
    distance = np.concatenate([np.abs(first.centre - second.centre) for first, second in found])
    assert distance.max() <= apart * 64 + 0.01
    for number in (1, 2, 3):  # in each whose width leaves room
        assert distance[image == number, 1].max() >= min(apart * 64, SIZES[number, 1] - 64) * 0.7


def test_views_of_large_images_do_not_leave_them() -> None:
    for pair in itertools.islice(pairs(config(apart=100.0), SIZES), 40):
        for view in pair:
            inside = view.image == 1
            corner = view.centre[inside] - 31.5
            assert (corner >= 0).all()
            assert (corner + 64 <= SIZES[1]).all()


def test_magnification_lies_between_one_and_the_zoom() -> None:
    found = [
        np.abs(np.linalg.det(view.matrix)) for pair in itertools.islice(pairs(config(), SIZES), 30) for view in pair
    ]
    factor = 1 / np.sqrt(np.concatenate(found))
    assert factor.min() == pytest.approx(1, abs=0.02)
    assert factor.max() == pytest.approx(2, abs=0.03)
    assert factor.max() <= 2.0001


def test_each_view_is_turned_and_magnified_by_itself() -> None:
    first, second = (
        np.concatenate([view.matrix for view in views])
        for views in zip(*itertools.islice(pairs(config(), SIZES), 60), strict=True)
    )
    factors = [1 / np.sqrt(np.abs(np.linalg.det(matrix))) for matrix in (first, second)]
    angles = [np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]) for matrix in (first, second)]
    for one, two in (factors, angles):
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.2
    assert (np.histogram(angles, bins=8, range=(-np.pi, np.pi))[0] > 60).all()  # of 120 expected in each eighth


def test_pairs_depend_on_seed_and_position_alone() -> None:
    wanted = list(itertools.islice(pairs(config(), SIZES), 6))[4:]
    found = list(itertools.islice(pairs(config(), SIZES, position=4), 2))
    other = list(itertools.islice(pairs(config(seed=1), SIZES, position=4), 2))
    for one, two, three in zip(found, wanted, other, strict=True):
        for a, b, c in zip(one, two, three, strict=True):
            np.testing.assert_array_equal(a.centre, b.centre)
            np.testing.assert_array_equal(a.matrix, b.matrix)
            assert not np.array_equal(a.centre, c.centre)
            assert not np.allclose(*(np.abs(np.linalg.det(each.matrix)) for each in (a, c)))
