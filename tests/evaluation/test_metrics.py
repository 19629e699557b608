"""Dice and Jaccard of cases worked by hand and against scikit-learn's F1."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from jaxseg.evaluation.metrics import Counts, count, dice, jaccard


def test_by_hand() -> None:
    predicted = np.array([[True, True, False], [False, False, False]])
    truth = np.array([[True, False, True], [False, False, True]])
    counts = count(predicted, truth)
    assert counts == Counts(true_positive=1, false_positive=1, false_negative=2, true_negative=2)
    assert counts.dice == pytest.approx(2 / 5)
    assert counts.jaccard == pytest.approx(1 / 4)


def test_against_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    predicted, truth = draw.random((40, 30)) > 0.4, draw.random((40, 30)) > 0.7
    counts = count(predicted, truth)
    assert counts.dice == pytest.approx(f1_score(truth.ravel(), predicted.ravel()))
    assert counts.jaccard == pytest.approx(jaccard_score(truth.ravel(), predicted.ravel()))
    assert counts.jaccard == pytest.approx(counts.dice / (2 - counts.dice))


def test_nothing_to_find_and_nothing_found_is_right() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert (count(empty, empty).dice, count(empty, empty).jaccard) == (1, 1)
    assert (count(full, empty).dice, count(empty, full).jaccard) == (0, 0)
    assert (float(dice(0, 1, 0)), float(jaccard(0, 0, 1))) == (0, 0), "a single pixel, wrongly found or missed"


def test_many_counts_at_once() -> None:
    hit, extra, missed = np.array([[1, 0, 0], [0, 3, 4]]), np.array([[1, 0, 2], [0, 0, 4]]), np.array([2, 0, 0])
    assert dice(hit, extra, missed) == pytest.approx(np.array([[2 / 5, 1, 0], [0, 1, 8 / 12]]))
    assert jaccard(hit, extra, missed) == pytest.approx(np.array([[1 / 4, 1, 0], [0, 1, 4 / 8]]))
    assert dice(5, 0, 5) == pytest.approx(2 / 3)
    assert jaccard(5, 0, 5) == 1 / 2


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        count(np.zeros((2, 2), bool), np.zeros((2, 3), bool))
