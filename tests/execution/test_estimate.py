"""Estimates against the real model, published figures and arithmetic by hand."""

import math
from pathlib import Path

import jax
import pytest
from studies import small_study

from jaxseg.config import DEPTHS, Locations, ModelConfig, Recipe
from jaxseg.execution import estimate
from jaxseg.execution.plan import make_plan
from jaxseg.execution.resources import SCALING
from jaxseg.models.unet import network


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("width", [1.0, 1 / 8, 3 / 64])
def test_parameters_are_those_of_the_model(depth: int, width: float) -> None:
    config = ModelConfig(depth=depth, width=width, classes=2)
    model = network(config)
    assert estimate.parameters(config) == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model.params))
    assert estimate.statistics_kept(config) == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model.stats))


def test_published_size_of_the_paper_model() -> None:
    assert estimate.parameters(ModelConfig()) == 32_521_105  # the common PyTorch U-Net with ResNet50, one class
    assert estimate.multiplications(ModelConfig(), 256) == pytest.approx(10.6e9, rel=0.02)


def test_time_of_the_measured_nets() -> None:
    full = Recipe()
    assert estimate.seconds_per_crop(full, False, 2) == pytest.approx(0.33)
    narrow = Recipe(model=ModelConfig(width=1 / 8))
    assert estimate.seconds_per_crop(narrow, False, 2) == pytest.approx(0.055, rel=0.1)
    assert estimate.seconds_per_crop(full, False, 8) == pytest.approx(0.33 / 4**SCALING)
    assert 1 / estimate.seconds_per_crop(full, True, 1) == pytest.approx(2000)


def test_disk_by_hand(tmp_path: Path, locations: Locations) -> None:
    study = small_study()
    plan = make_plan(study, tmp_path / "study", locations)
    model = 4 * (estimate.parameters(study.recipe.model) + estimate.statistics_kept(study.recipe.model))
    # five runs of two budgets, and two workers with two `latest` of four times the model
    assert estimate.disk_needed(plan, 2) == 5 * (2 * model + 2**20) + 2 * 2 * 4 * model
