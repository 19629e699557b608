"""What the networks see in the same patches: pooled features of three layers, per run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jaxseg.analysis.scores import Results, RunState
from jaxseg.datasets.loading import Images
from jaxseg.seeds import generator

# The paper's Figure 4: first encoder layer, deepest encoder layer, last decoder layer.
LAYERS = {
    "encoder/stem": "first encoder layer",
    "encoder/stage4": "deepest encoder layer",
    "decoder/block5": "last decoder layer",
}
PATCHES = 300  # the paper's number
BATCH = 25
REPEATS = 2  # the second one is the control: same weights, trained again

Features = dict[str, NDArray[np.float64]]  # layer -> (patches, channels)


class Model(Protocol):
    """What `jaxseg.load` returns, as far as the analysis needs it."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]: ...
    def probabilities(self, images: Sequence[np.ndarray]) -> list[np.ndarray]: ...


OpenModel = Callable[[Path], Model]


@dataclass(frozen=True)
class Patches:
    """`pixels` (N, side, side, 3) uint8; `tested_on` (N,) names of the datasets that they come from."""

    pixels: NDArray[np.uint8]
    tested_on: NDArray[np.str_]


@dataclass(frozen=True)
class RunFeatures:
    trained_on: str
    weights: str
    repeat: int
    layers: Features


def draw_patches(tests: Mapping[str, Images], side: int, count: int = PATCHES) -> Patches:
    """Random squares of the test images, equally many per dataset, the same for all models.

    Images that are smaller than a patch are continued by reflection.
    """
    pixels, names = [], []
    for number, (name, images) in enumerate(tests.items()):
        rng = generator("patches", name, side)
        share = count // len(tests) + (number < count % len(tests))
        for which in rng.integers(0, len(images.ids), share):
            height, width = (int(length) for length in images.sizes[which])
            image = images.pixels[which, :height, :width]
            top, left = rng.integers(0, max(1, height - side + 1)), rng.integers(0, max(1, width - side + 1))
            pixels.append(_filled(image[top : top + side, left : left + side], side))
            names.append(name)
    return Patches(np.stack(pixels), np.array(names))


def _filled(patch: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = patch.shape[:2]
    return np.pad(patch, ((0, side - height), (0, side - width), (0, 0)), mode="symmetric")


def pooled(model: Model, pixels: NDArray[np.uint8]) -> Features:
    """Global means of the features of `LAYERS`; batches of one size, so that one compiled function serves."""
    filled = np.concatenate([pixels, np.repeat(pixels[-1:], -len(pixels) % BATCH, axis=0)])
    parts: dict[str, list[np.ndarray]] = {name: [] for name in LAYERS}
    for start in range(0, len(filled), BATCH):
        _, features = model(filled[start : start + BATCH])
        for name in LAYERS:
            parts[name].append(features[name].astype(np.float64).mean(axis=(1, 2)))
    return {name: np.concatenate(rows)[: len(pixels)] for name, rows in parts.items()}


def chosen_runs(results: Results) -> list[RunState]:
    """For every dataset and weights: the first finished repeats at the largest fraction."""
    study = results.study
    runs = []
    for dataset in study.datasets:
        for weights in study.weights:
            runs += results.find(dataset=dataset, weights=weights, fraction=study.fractions[-1])[:REPEATS]
    return runs


def collect(
    runs: Sequence[RunState], patches: Patches, open_model: OpenModel, progress: Callable[[str], None]
) -> Iterator[RunFeatures]:
    """Open one run after the other and pool its features."""
    for number, state in enumerate(runs):
        progress(f"features of {state.run.run_id} ({number + 1} of {len(runs)})")
        layers = pooled(open_model(state.folder.path), patches.pixels)
        yield RunFeatures(state.run.dataset, state.run.weights, state.run.repeat, layers)
