import itertools

import numpy as np
import pytest
from scipy import stats

from jaxseg.analysis.cells import Cell
from jaxseg.analysis.resampling import (
    equivalence_p,
    interval,
    least_p,
    resampled_means,
    sign_flip_p,
)


def cell_of(scores, patients=None):
    scores = np.asarray(scores, dtype=float)
    patients = np.arange(scores.shape[1]) if patients is None else np.asarray(patients)
    images = tuple(f"i{n}" for n in range(scores.shape[1]))
    return Cell(scores, tuple(range(len(scores))), images, patients)


def loop_of_the_bootstrap(cell, generator, resamples):
    """Independent: draws indices one resample at a time and collects the drawn values in lists."""
    patients = [np.flatnonzero(cell.patients == p) for p in range(cell.patients.max() + 1)]
    repeats = len(cell.scores)
    means = []
    for _ in range(resamples):
        drawn_patients = generator.integers(0, len(patients), max(1, len(patients) - 1))
        drawn_repeats = generator.integers(0, repeats, max(1, repeats - 1))
        values = [cell.scores[r, i] for r in drawn_repeats for p in drawn_patients for i in patients[p]]
        means.append(np.mean(values))
    return np.array(means)


def test_bootstrap_against_a_loop():
    rng = np.random.default_rng(0)
    patients = [0, 0, 0, 1, 2, 2, 3, 4, 5, 5]
    cell = cell_of(rng.normal(0.1, 1, (4, 10)) + rng.normal(0, 1, (4, 1)), patients)
    fast = resampled_means(cell, np.random.default_rng(1), 40_000)
    slow = loop_of_the_bootstrap(cell, np.random.default_rng(2), 10_000)
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.03)
    assert fast.std() == pytest.approx(slow.std(), rel=0.03)
    np.testing.assert_allclose(interval(fast), interval(slow), atol=0.06)


@pytest.mark.parametrize("shape", [(1, 30), (2, 1), (5, 1)])
def test_the_spread_of_one_level_is_its_standard_error(shape):
    """With one level left, resampled means must vary by s²/n; two repeats are the hardest case."""
    values = np.random.default_rng(3).normal(size=shape)
    means = resampled_means(cell_of(values), np.random.default_rng(4), 100_000)
    assert means.var() == pytest.approx(values.var(ddof=1) / values.size, rel=0.03)


def test_one_training_on_one_patient_shows_no_spread():
    alone = cell_of([[0.3, 0.5]], patients=[0, 0])
    assert all(np.isnan(bound) for bound in interval(resampled_means(alone, np.random.default_rng(0))))
    for other in (cell_of([[0.3, 0.5]]), cell_of([[0.3], [0.5]])):
        low, high = interval(resampled_means(other, np.random.default_rng(0)))
        assert low < high


def test_interval_covers_the_truth():
    """Independent studies with known effect 0: at 10 repeats and 40 images, 95 % intervals cover about that often."""
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(300):
        data = rng.normal(0, 1, (10, 40)) + rng.normal(0, 0.4, (10, 1)) + rng.normal(0, 0.8, (1, 40))
        low, high = interval(resampled_means(cell_of(data), np.random.default_rng(trial), 1000))
        covered += low < 0 < high
    assert 0.91 <= covered / 300 <= 0.99


def test_same_seed_same_numbers():
    cell = cell_of(np.random.default_rng(6).normal(size=(3, 7)))
    one, two = (resampled_means(cell, np.random.default_rng(9), 100) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("count", [5, 12])
def test_exact_sign_flips_against_scipy(count):
    values = np.random.default_rng(count).normal(0.4, 1, count)
    expected = stats.permutation_test(
        (values, np.zeros(count)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    ).pvalue
    assert sign_flip_p(values, np.arange(count), np.random.default_rng(0)) == pytest.approx(expected)


def test_sign_flips_go_by_patient():
    values, patients = np.array([0.3, 0.2, -0.1, 0.4, 0.2]), np.array([0, 0, 1, 1, 2])
    sums = [0.5, 0.3, 0.2]
    totals = [abs(np.dot(signs, sums)) for signs in itertools.product((1, -1), repeat=3)]
    expected = np.mean([total >= 1.0 - 1e-12 for total in totals])
    assert expected == 0.25
    assert sign_flip_p(values, patients, np.random.default_rng(0)) == pytest.approx(expected)


def test_random_sign_flips_agree_with_the_normal_limit():
    values = np.random.default_rng(8).normal(0.15, 1, 200)
    z = values.sum() / np.sqrt((values**2).sum())
    expected = 2 * stats.norm.sf(abs(z))
    found = sign_flip_p(values, np.arange(200), np.random.default_rng(0))
    assert found == pytest.approx(expected, abs=0.01)


def test_no_difference_at_all_gives_p_one():
    assert sign_flip_p(np.zeros(30), np.arange(30), np.random.default_rng(0)) == 1.0


def test_five_pairs_never_give_less_than_a_sixteenth():
    values = np.array([1.0, 1.1, 0.9, 1.2, 0.8])
    assert least_p(5) == 0.0625
    assert sign_flip_p(values, np.arange(5), np.random.default_rng(0)) == 0.0625
    assert stats.wilcoxon(values).pvalue == 0.0625


def test_equivalence_is_the_larger_tail():
    means = np.linspace(-0.02, 0.005, 1001)
    below = np.sum(means <= -0.01)
    assert equivalence_p(means, 0.01) == pytest.approx((1 + below) / 1002)
    assert equivalence_p(np.full(999, 0.001), 0.01) == pytest.approx(1 / 1000)
