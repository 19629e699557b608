import numpy as np
import pytest
from scipy.spatial import distance

from jaxseg.analysis import embedding
from jaxseg.analysis.captions import umap_reading
from jaxseg.analysis.feature_vectors import LAYERS, Patches, RunFeatures


def test_cosine_distances_against_scipy():
    x = np.random.default_rng(0).normal(size=(12, 5))
    np.testing.assert_allclose(
        embedding.cosine_distances(x), distance.squareform(distance.pdist(x, "cosine")), atol=1e-12
    )
    x[3] = 0
    assert embedding.cosine_distances(x)[3, 4] == 1


def test_umap_parts_clusters_and_repeats_itself():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(centre, 0.1, (40, 6)) for centre in (np.eye(6)[0], np.eye(6)[1])])
    one, two = (embedding.embed(x, 15, 2**40 + 3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    near = distance.cdist(one, one)
    np.fill_diagonal(near, np.inf)
    assert ((near.argmin(axis=1) < 40) == (np.arange(80) < 40)).all()


def test_the_same_features_turned_lie_apart_so_that_clouds_prove_nothing_of_the_start():
    """Two networks that see alike but for a rotation, which CKA and Procrustes do not see, and trainings do bring."""
    rng = np.random.default_rng(3)
    x = rng.normal(3, 1, (60, 8))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    points = embedding.embed(np.concatenate([x, x @ turn]), 15, 1)
    near = distance.cdist(points, points)
    np.fill_diagonal(near, np.inf)
    assert ((near.argmin(axis=1) < 60) == (np.arange(120) < 60)).all()
    assert "do not mean that the start left its mark" in umap_reading([25], True)
    assert ["table below" in umap_reading([25], measured) for measured in (True, False)] == [True, False]


def test_few_points_still_embed():
    assert embedding.embed(np.random.default_rng(2).normal(size=(8, 3)), 7, 1).shape == (8, 2)


@pytest.mark.parametrize(("patches", "neighbours"), [(30, 25), (5, 9)])
def test_one_fit_per_layer_over_the_first_repeat_of_all_weights(monkeypatch, patches, neighbours):
    calls = []

    def fake(vectors, neighbours, seed):
        calls.append((vectors, neighbours, seed))
        return np.zeros((len(vectors), 2))

    monkeypatch.setattr(embedding, "embed", fake)
    features = [
        RunFeatures("a", weights, repeat, dict.fromkeys(LAYERS, np.full((patches, 4), 10.0 * number + repeat)))
        for number, weights in enumerate(("random", "x"))
        for repeat in (0, 1)
    ]
    tested_on = np.array(["a"] * (patches - 2) + ["b"] * 2)
    found = embedding.embeddings(features, Patches(np.zeros((patches, 8, 8, 3), np.uint8), tested_on))
    assert [e.layer for e in found] == list(LAYERS)
    assert len({seed for _, _, seed in calls}) == 3
    assert {n for _, n, _ in calls} == {e.neighbours for e in found} == {neighbours}
    assert set(np.unique(calls[0][0])) == {0.0, 10.0}  # no second repeat
    assert list(found[0].weights) == ["random"] * patches + ["x"] * patches
    assert list(found[0].tested_on) == list(tested_on) * 2
