import itertools

import numpy as np
import pytest
from scipy import stats

from jaxseg.analysis.sign_flips import least_p, sign_flip_p


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
