import numpy as np
import pytest
from scipy import stats

from jaxseg.analysis.cells import Cell
from jaxseg.analysis.intervals import Spread, equivalence_p, interval, p_value

MEANS = [0.0, 0.004, 0.009, 0.01, 0.011, 0.02, 0.2]  # Dice


def cell_of(scores, patients=None):
    scores = np.asarray(scores, dtype=float)
    patients = np.arange(scores.shape[1]) if patients is None else np.asarray(patients)
    images = tuple(f"i{n}" for n in range(scores.shape[1]))
    return Cell(scores, tuple(range(len(scores))), images, patients)


def spread_of(scores, patients=None):
    return Spread.of(cell_of(scores, patients))


def drawn(rng, repeats, patients, trainings=0.01, of_patients=0.01, noise=0.02):
    """Differences (repeats, patients) whose true mean is 0: luck of trainings, of patients, of both."""
    scores = rng.normal(0, trainings, (repeats, 1)) + rng.normal(0, of_patients, (1, patients))
    return scores + rng.normal(0, noise, (repeats, patients))


@pytest.mark.parametrize("shape", [(1, 30), (2, 1), (5, 1)])
def test_one_level_alone_has_students_interval(shape):
    values = 0.01 * np.random.default_rng(3).normal(size=shape)
    spread = spread_of(values)
    expected = stats.t.interval(0.95, values.size - 1, values.mean(), stats.sem(values.ravel()))
    assert interval(spread) == pytest.approx(expected)
    assert not spread.of_both
    assert np.isnan(p_value(spread))
    assert np.isnan(equivalence_p(spread, 0.01))


def test_both_levels_add_their_half_widths_as_squares():
    scores = drawn(np.random.default_rng(0), 4, 9)
    halves = [np.ptp(stats.t.interval(0.9, len(m) - 1, 0, stats.sem(m))) / 2 for m in (scores.mean(1), scores.mean(0))]
    low, high = interval(spread_of(scores), 0.9)
    assert (high - low) / 2 == pytest.approx(np.hypot(*halves))
    assert (low + high) / 2 == pytest.approx(scores.mean())


def test_patients_with_different_numbers_of_images_by_hand():
    """Means .25, .2 and .25 of 2, 3 and 1 images: variance 1/1200, times (4 + 9 + 1) / 36."""
    values, patients = [0.3, 0.2, -0.1, 0.4, 0.3, 0.25], [0, 0, 1, 1, 1, 2]
    spread = spread_of([values], patients)
    assert spread.mean == pytest.approx(1.35 / 6)
    assert spread.sources == ((pytest.approx(14 / 36 / 1200), 2),)


@pytest.mark.parametrize("sizes", [[40, 3, 3, 3], [60, *[1] * 19], [3, 6, 4, 3]])
def test_variance_is_that_of_means_whose_patients_differ_in_size(sizes):
    """On average over 4000 studies whose patients differ, against the variance that their means are seen to have."""
    rng, patients = np.random.default_rng(11), np.repeat(np.arange(len(sizes)), sizes)
    spreads = [spread_of([rng.normal(0, 0.02, len(sizes))[patients]], patients) for _ in range(4000)]
    seen = np.var([spread.mean for spread in spreads])
    assert np.mean([spread.sources[0][0] for spread in spreads]) == pytest.approx(seen, rel=0.08)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("sizes", [[40, 3, 3, 3], [60, *[1] * 19], [20, 10, 5, 5], [3, 6, 4, 3]])
def test_interval_covers_the_truth_also_where_one_patient_has_most_images(sizes, noise):
    """Deviations from the mean over images, which is nearly that of such a patient, covered .2 to .9 of them."""
    rng, patients = np.random.default_rng(12), np.repeat(np.arange(len(sizes)), sizes)
    covered = 0
    for _ in range(600):
        scores = rng.normal(0, 0.01, len(sizes))[patients] + rng.normal(0, noise, sum(sizes))
        low, high = interval(spread_of([scores], patients))
        covered += low < 0 < high
    assert covered / 600 >= 0.93


def test_one_training_on_one_patient_shows_no_spread():
    assert np.isnan(interval(spread_of([[0.3, 0.5]], patients=[0, 0]))).all()
    for other in ([[0.3, 0.5]], [[0.3], [0.5]]):
        low, high = interval(spread_of(other))
        assert low < high


@pytest.mark.parametrize("repeats", [2, 3, 5, 10])
@pytest.mark.parametrize("patients", [3, 14, 80])
def test_interval_covers_the_truth_also_with_few_trainings_and_patients(repeats, patients):
    """A percentile bootstrap covered .80 to .90 at three patients, .83 at two repeats of 80."""
    rng = np.random.default_rng([repeats, patients])
    covered = 0
    for trial in range(400):
        scores = drawn(rng, repeats, patients, *((0.015, 0.005), (0.005, 0.015))[trial % 2])
        low, high = interval(spread_of(scores))
        covered += low < 0 < high
    assert covered / 400 >= 0.93


def test_limits_of_a_score_are_kept():
    low, high = interval(spread_of([[0.99, 0.80], [0.97, 0.85]]), limits=(0.0, 1.0))
    assert (low, high) == (0.0, 1.0)


def test_p_is_that_of_the_interval_that_ends_at_the_value():
    spread = spread_of(drawn(np.random.default_rng(1), 5, 12) + 0.02)
    p = p_value(spread)
    assert 1e-6 < p < 0.5
    assert interval(spread, 1 - p).low == pytest.approx(0, abs=1e-9)
    low, high = interval(spread)
    assert (p_value(spread, low), p_value(spread, high)) == pytest.approx((0.05, 0.05))


def test_p_where_there_is_no_difference_or_no_spread():
    assert p_value(spread_of(np.zeros((3, 4)))) == 1.0
    assert p_value(spread_of(np.full((3, 4), 0.1))) < 1e-20
    assert equivalence_p(spread_of(np.full((3, 4), 0.001)), 0.01) < 1e-20


def test_p_is_even_where_trainings_and_patients_are_alike():
    """Without a difference p lies below .05 in a twentieth of studies at most, here of three trainings."""
    rng = np.random.default_rng(7)
    found = np.mean([p_value(spread_of(drawn(rng, 3, 80))) < 0.05 for _ in range(400)])
    assert found <= 0.06


def test_equivalence_agrees_with_the_90_percent_interval():
    rng = np.random.default_rng(2)
    for shift in (0.0, 0.004, 0.009, 0.02, -0.015):
        spread = spread_of(drawn(rng, 5, 40, 0.003, 0.003, 0.01) + shift)
        low, high = interval(spread, 0.9)
        assert (equivalence_p(spread, 0.01) < 0.05) == (low > -0.01 and high < 0.01)


def test_equivalence_p_grows_with_the_difference_to_either_side():
    """Half at the margin, where the mean may as well lie to one side of it as to the other, and 1 far beyond."""
    sources = spread_of(drawn(np.random.default_rng(4), 5, 40)).sources
    up, down = ([equivalence_p(Spread(sign * mean, sources), 0.01) for mean in MEANS] for sign in (1, -1))
    assert up == pytest.approx(down)
    assert np.all(np.diff(up) > 0)
    assert up[MEANS.index(0.01)] == 0.5
    assert up[-1] > 0.99


def test_differences_by_rounding_alone_are_none():
    scores = np.full((3, 4), 0.1 + 0.2) - 0.3  # 5.6e-17 everywhere
    assert scores.min() > 0
    assert p_value(spread_of(scores)) == 1.0
