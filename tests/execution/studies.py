"""A small study and prepared data for it, without any pixels."""

from pathlib import Path

from jaxseg.config import ModelConfig, Recipe, RunConfig, Study, TrainedWeights
from jaxseg.datasets.card import Card, Row, fingerprint
from jaxseg.datasets.prepared import prepared_folder

RECIPE = Recipe(model=ModelConfig(depth=18, width=1 / 16), crop=64, stride=32, batch=4, budgets=(2, 3))


def small_study(repeats: int = 1, fractions: tuple[float, ...] = (0.5, 1.0), recipe: Recipe = RECIPE) -> Study:
    """Four runs a repeat, half of them from weights that a fifth run makes."""
    return Study(
        name="small",
        title="Small",
        task="glands",
        datasets=("site_a",),
        weights=("random", "nuclei"),
        fractions=fractions,
        repeats=repeats,
        recipe=recipe,
        test_datasets=("site_a", "site_b"),
        trained_weights=(TrainedWeights("nuclei", RunConfig("cells", recipe=recipe)),),
    )


def prepare(
    data_dir: Path, name: str, task: str = "glands", images: int = 10, tests: int = 0, classes: tuple[str, ...] = ()
) -> None:
    """Training images of one size; test images, each higher and narrower than the one before."""
    rows = tuple(Row(f"i{n}", "train", "train", f"p{n}", 64, 64, 1, 0.5, "", "") for n in range(images))
    rows += tuple(Row(f"t{n}", "test", "test", f"q{n}", 64 + n, 96 - n, 1, 0.5, "", "") for n in range(tests))
    folder = prepared_folder(name, data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    Card(name, name, task, "", "", True, fingerprint(task, rows, classes), {}, (), rows, classes).write(folder)


def prepare_all(data_dir: Path) -> Path:
    prepare(data_dir, "site_a")
    prepare(data_dir, "site_b")
    prepare(data_dir, "cells", "nuclei")
    return data_dir
