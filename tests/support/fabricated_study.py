"""A fabricated study folder: plausible scores of runs that never were, and models that never learned."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jaxseg.analysis.scores import COLUMNS
from jaxseg.config import ModelConfig, Recipe, RunConfig, Study
from jaxseg.datasets.card import Card, fingerprint
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder
from jaxseg.seeds import generator

RECIPE = Recipe(model=ModelConfig(18, 1 / 16), crop=64, stride=32, budgets=(20, 40, 80))
STUDY = Study(
    name="fabricated",
    title="Which weights? A fabricated study",
    task="glands",
    datasets=("tissue_a", "tissue_b"),
    weights=("random", "imagenet", "pathology"),
    fractions=(0.1, 0.3, 1.0),
    repeats=5,
    recipe=RECIPE,
)
HEAD_START = {"random": 0.0, "imagenet": 0.04, "pathology": 0.08}


def counts_of(dice: float, foreground: int, pixels: int) -> tuple[int, int, int, int]:
    """Counts whose Dice is close to `dice`, with half as many false positives as false negatives."""
    hit = round(1.5 * dice * foreground / (2 - 0.5 * dice))
    missed = foreground - hit
    extra = missed // 2
    return hit, extra, missed, pixels - foreground - extra


def row_of(run: RunConfig, budget: int, tested_on: str, image: int, dice: float) -> dict[str, object]:
    truth = generator("truth", tested_on, image)
    foreground, pixels = int(truth.integers(2000, 6000)), 10_000
    hit, extra, missed, rest = counts_of(dice, foreground, pixels)
    return {
        "trained_on": run.dataset,
        "weights": run.weights,
        "fraction": run.fraction,
        "repeat": run.repeat,
        "budget": budget,
        "tested_on": tested_on,
        "subset": "test_near" if image % 3 else "test_far",
        "image": f"image_{image:02d}",
        "patient": f"patient_{image // 2}",
        "dice": 2 * hit / (2 * hit + extra + missed),
        "jaccard": hit / (hit + extra + missed),
        "true_positive": hit,
        "false_positive": extra,
        "false_negative": missed,
        "true_negative": rest,
    }


def expected_dice(run: RunConfig, budget: int, tested_on: str) -> float:
    head_start = HEAD_START.get(run.weights, 0.02) * (1.2 - run.fraction)
    longer = 0.03 * np.log2(budget / run.recipe.budgets[0])
    return 0.66 + 0.1 * np.log10(10 * run.fraction) + head_start + longer - 0.15 * (run.dataset != tested_on)


def scores_of(run: RunConfig, tested_on: tuple[str, ...], images: int = 20) -> pd.DataFrame:
    rows = []
    for budget in run.recipe.budgets:
        for dataset in tested_on:
            hard = generator("hard", dataset).normal(0, 0.05, images)  # shared: pairs are correlated
            luck = generator("luck", run.run_id, dataset).normal(0, 0.01)
            noise = generator("noise", run.run_id, dataset, budget).normal(0, 0.02, images)
            dice = np.clip(expected_dice(run, budget, dataset) + hard + luck + noise, 0.05, 0.98)
            rows += [row_of(run, budget, dataset, i, float(dice[i])) for i in range(images)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def log_of(run: RunConfig) -> list[dict[str, float]]:
    lines = []
    generated = generator("log", run.run_id)
    best = np.inf
    for epoch in range(2, run.recipe.budgets[-1] + 1, 2):
        loss = 0.35 + 0.9 * np.exp(-epoch / 15) + generated.normal(0, 0.02)
        best = min(best, loss)
        lines.append(
            {
                "step": epoch * 4,
                "epoch": float(epoch),
                "training_loss": loss - 0.1,
                "validation_loss": loss,
                "validation_dice": float(np.clip(1 - loss / 2, 0, 1)),
                "best_validation_loss": best,
                "images_per_second": 21.5,
                "seconds": epoch * 0.4,
            }
        )
    return lines


def weights_of(name: str) -> dict[str, object]:
    made = {"name": name, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "source": name}
    if name == "random":
        return made | {"sha256": None, "licence": None, "citation": None, "arrays_sha256": "0" * 64}
    citation = f"Somebody & Others, {name}, 2021"
    return made | {"sha256": "ab" * 32, "licence": "BSD-3", "citation": citation, "arrays_sha256": "cd" * 32}


def write_run(study: Path, run: RunConfig, scores: pd.DataFrame) -> RunFolder:
    folder = RunFolder.of(study, run)
    folder.create(run)
    scores.to_parquet(folder.scores)
    lines = log_of(run)
    folder.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_json(folder.weights, weights_of(run.weights))
    count = max(1, round(80 * run.fraction))
    write_json(folder.split, {"train": [f"t{i}" for i in range(count)], "validation": ["v0"], "notes": []})
    done = {"run_id": run.run_id, "steps": 320, "epochs": 80, "seconds": 32.0, "images_per_second": 21.5}
    done |= {"device": "1 × cpu", "best_validation_loss": lines[-1]["best_validation_loss"]}
    write_json(folder.done, done | {"test_datasets": sorted(set(scores["tested_on"]))})
    return folder


@dataclass(frozen=True)
class Fabricated:
    folder: Path
    study: Study


def fabricate(folder: Path, study: Study, images: int = 20) -> Fabricated:
    """Write a study folder in which every run has finished."""
    write_json(folder / "study.json", study.to_json())
    for run in study.runs():
        write_run(folder, run, scores_of(run, study.tested_on, images))
    return Fabricated(folder, study)


@dataclass(frozen=True)
class FakeImages:
    """Test images in the form of `jaxseg.datasets`: pink tissue with dark discs."""

    pixels: np.ndarray
    masks: np.ndarray
    sizes: np.ndarray
    ids: tuple[str, ...]


def fake_images(name: str, count: int = 20, sizes: tuple[tuple[int, int], ...] = ((96, 128), (112, 100))) -> FakeImages:
    height, width = np.max(sizes, axis=0)
    pixels = np.zeros((count, height, width, 3), np.uint8)
    masks = np.zeros((count, height, width), np.uint8)
    true_sizes = np.array([sizes[i % len(sizes)] for i in range(count)], np.int32)
    rng = generator("fake images", name)
    y, x = np.mgrid[:height, :width]
    for i, (h, w) in enumerate(true_sizes):
        for _ in range(4):
            centre, radius = rng.uniform((0, 0), (h, w)), rng.uniform(8, 22)
            masks[i] |= ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2).astype(np.uint8)
        colour = np.where(masks[i][..., None] > 0, (110, 60, 140), (230, 170, 200))
        pixels[i] = np.clip(colour + rng.normal(0, 12, (height, width, 3)), 0, 255)
        masks[i, h:], masks[i, :, w:], pixels[i, h:], pixels[i, :, w:] = 0, 0, 0, 0
    return FakeImages(pixels, masks, true_sizes, tuple(f"image_{i:02d}" for i in range(count)))


def fake_card(name: str) -> Card:
    """Card of a prepared dataset of which nothing is known but that it is there."""
    return Card(name, name, "glands", "", "", True, fingerprint("glands", ()), {}, (), ())


class FakeModel:
    """Pools random projections of the image; predicts by darkness. Differs by weights, a little by repeat."""

    def __init__(self, folder: Path) -> None:
        run = RunFolder(folder).config()
        self._weights = generator("fake model", run.weights)
        self._repeat = generator("fake model", run.run_id)
        channels = (4, 32, 4)
        names = ("encoder/stem", "encoder/stage4", "decoder/block5")
        self._maps = {
            name: self._weights.normal(size=(12, c)) + 0.1 * self._repeat.normal(size=(12, c))
            for name, c in zip(names, channels, strict=True)
        }
        self._threshold = 130 + self._repeat.normal(0, 12)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        blocks = images.reshape(len(images), 2, images.shape[1] // 2, 2, images.shape[2] // 2, 3) / 255.0
        raw = blocks.mean(axis=(2, 4)).reshape(len(images), 1, 1, 12)
        return np.zeros((*images.shape[:3], 1)), {k: np.abs(raw @ m) for k, m in self._maps.items()}

    def probabilities(self, images: list[np.ndarray]) -> list[np.ndarray]:
        return [1 / (1 + np.exp((image.mean(axis=-1, keepdims=True) - self._threshold) / 10)) for image in images]
