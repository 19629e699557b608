"""A prepared synthetic dataset and a recipe that trains in seconds."""

from pathlib import Path

import pytest

from jaxseg import datasets
from jaxseg.config import ModelConfig, Recipe, RunConfig


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    datasets.prepare("synthetic_nuclei_a", folder)
    return folder


@pytest.fixture
def run() -> RunConfig:
    model = ModelConfig(depth=18, width=1 / 16)
    recipe = Recipe(model, crop=64, stride=32, batch=4, learning_rate=1e-3, budgets=(1, 2), validate_every=1)
    return RunConfig("synthetic_nuclei_a", fraction=0.5, repeat=1, recipe=recipe)
