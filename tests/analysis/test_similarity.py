import itertools

import numpy as np
import pytest
from scipy import spatial

from jaxseg.analysis.feature_vectors import LAYERS, RunFeatures
from jaxseg.analysis.similarity import (
    APART,
    APART_SAME_REPEAT,
    CONTROL,
    debiased_cka,
    procrustes,
    similarities,
    similarity_summary,
)


def rotation(size, rng):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def hsic_by_definition(k, m):
    """Unbiased HSIC as the average over all quadruples of different indices (Gretton et al. 2005, U-statistic)."""
    total, count = 0.0, 0
    for i, j, q, r in itertools.permutations(range(len(k)), 4):
        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        count += 1
    return total / count


def test_cka_by_its_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 4))
    k, m = x @ x.T, y @ y.T
    expected = hsic_by_definition(k, m) / np.sqrt(hsic_by_definition(k, k) * hsic_by_definition(m, m))
    assert debiased_cka(x, y) == pytest.approx(expected)


@pytest.mark.parametrize("channels", [5, 80])
def test_both_are_blind_to_turning_shifting_scaling(channels):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, channels))
    moved = 3.7 * x @ rotation(channels, rng) + rng.normal(size=channels)
    assert debiased_cka(x, moved) == pytest.approx(1)
    assert procrustes(x, moved) == pytest.approx(0, abs=1e-9)


def test_unrelated_features_score_about_zero_though_channels_outnumber_patches():
    rng = np.random.default_rng(2)
    values, plain = [], []
    for _ in range(20):
        x, y = rng.normal(size=(50, 400)), rng.normal(size=(50, 400))
        values.append(debiased_cka(x, y))
        x, y = x - x.mean(0), y - y.mean(0)
        plain.append(np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y))
    assert abs(np.mean(values)) < 0.02
    assert np.mean(plain) > 0.8  # what the debiased estimate is for


@pytest.mark.parametrize("channels", [4, 30, 90])
def test_procrustes_against_scipy(channels):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(30, channels)), rng.normal(size=(30, channels))
    assert procrustes(x, y) == pytest.approx(spatial.procrustes(x, y)[2])


def test_a_dead_layer_has_no_similarity():
    x = np.random.default_rng(4).normal(size=(20, 3))
    assert np.isnan(debiased_cka(x, np.full((20, 3), 0.3)))
    assert np.isnan(procrustes(x, np.full((20, 3), 0.3)))


def run(weights, repeat, trained_on="a", noise=0.1):
    rng = np.random.default_rng(7)
    base = rng.normal(size=(60, 6))
    own = np.random.default_rng(sum(map(ord, weights))).normal(size=(60, 6))
    again = np.random.default_rng(repeat).normal(size=(60, 6))
    return RunFeatures(trained_on, weights, repeat, dict.fromkeys(LAYERS, base + own + noise * again))


def test_pairs_and_control():
    features = [run(w, r) for w in ("random", "x") for r in (0, 1)] + [run("x", 0, "b")]
    table = similarities(features)
    kinds = table[table.layer == "encoder/stem"].groupby("pair").size().to_dict()
    assert kinds == {CONTROL: 2, APART: 2}
    assert (table[table.pair == APART].repeat != table[table.pair == APART].other_repeat).all()
    means = similarity_summary(table).set_index(["layer", "pair"])
    for layer in LAYERS:
        assert means.loc[(layer, CONTROL), "cka"] > 0.9 > means.loc[(layer, APART), "cka"]
        assert means.loc[(layer, CONTROL), "procrustes"] < means.loc[(layer, APART), "procrustes"]
        assert means.loc[(layer, APART), "procrustes"] < means.loc[(layer, APART), "procrustes_chance"]


def test_one_repeat_is_compared_without_control():
    table = similarities([run("random", 0), run("x", 0)])
    assert set(table.pair) == {APART_SAME_REPEAT}
