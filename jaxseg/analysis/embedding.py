"""UMAP of pooled features with the paper's settings; one fit per layer over the features of all weights."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jaxseg.analysis.feature_vectors import LAYERS, Patches, RunFeatures
from jaxseg.seeds import seed

NEIGHBOURS = 25
MIN_DISTANCE = 0.1
SPECTRAL_FROM = 20  # points; fewer leave no room for the spectral start


@dataclass(frozen=True)
class Embedding:
    """Points of one training dataset and layer.

    Attributes:
        points: (P, 2); weights, tested_on: (P,) what each point is; neighbours: the n_neighbors that was used.
    """

    trained_on: str
    layer: str
    points: NDArray[np.float64]
    weights: NDArray[np.str_]
    tested_on: NDArray[np.str_]
    neighbours: int


def embeddings(features: Sequence[RunFeatures], patches: Patches) -> list[Embedding]:
    """One embedding per training dataset and layer, of the first repeat of every weights."""
    result = []
    for dataset in dict.fromkeys(run.trained_on for run in features):
        first: dict[str, RunFeatures] = {}
        for run in features:
            if run.trained_on == dataset:
                first.setdefault(run.weights, run)
        weights = np.repeat(list(first), len(patches.tested_on))
        tested_on = np.tile(patches.tested_on, len(first))
        for layer in LAYERS:
            vectors = np.concatenate([run.layers[layer] for run in first.values()])
            neighbours = min(NEIGHBOURS, len(vectors) - 1)
            points = embed(vectors, neighbours, seed("umap", dataset, layer))
            result.append(Embedding(dataset, layer, points, weights, tested_on, neighbours))
    return result


def embed(vectors: NDArray[np.float64], neighbours: int, random_seed: int) -> NDArray[np.float64]:
    """(P, 2) coordinates of (P, C) vectors by cosine distance; equal seeds give equal points.

    UMAP would take the same distances one pair at a time, in Python.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        warnings.filterwarnings("ignore", "Graph is not fully connected", UserWarning)
        warnings.filterwarnings("ignore", "using precomputed metric", UserWarning)
        import umap  # imports numba: seconds, paid only here

        reducer = umap.UMAP(
            n_neighbors=neighbours,
            min_dist=MIN_DISTANCE,
            metric="precomputed",
            random_state=random_seed % 2**31,
            n_jobs=1,  # what a fixed seed needs anyway
            init="spectral" if len(vectors) >= SPECTRAL_FROM else "random",
        )
        return np.asarray(reducer.fit_transform(cosine_distances(vectors)), dtype=np.float64)


def cosine_distances(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, P) 1 - cosine; a vector of zeros is at distance 1 from all others."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    distances = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(distances, 0)
    return distances
