"""A step of pretraining on accelerators is that on CPUs, and keeps the products of both views apart."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from jaxseg.input.feed import make_feed
from jaxseg.input.plan import CropPlan
from jaxseg.input.render import pack
from jaxseg.input.statistics import Statistics
from jaxseg.pretraining import step as step_module
from jaxseg.pretraining.augment import Augmentation
from jaxseg.pretraining.config import PretrainConfig
from jaxseg.pretraining.network import initial_values
from jaxseg.pretraining.step import learning_rates, make_twins_steps
from jaxseg.training.mesh import make_mesh, replicated, sharded
from jaxseg.training.state import TrainState, fresh

CONFIG = PretrainConfig(18, 1 / 16, crop=32, batch=4, projector=8, compute_dtype="float32")
STILL = dataclasses.replace(CONFIG, learning_rate=1e-30, stain=0, colour=0, grey=1, blur=0)  # each step like the first
SIZES = np.full((3, 2), 48, np.int32)


def begin(config: PretrainConfig = CONFIG) -> tuple[Callable[..., Any], TrainState, tuple[Any, ...]]:
    """The function of a step, the state before the first, and two views with the statistics."""
    mesh, draw = make_mesh(config.batch, 1), np.random.default_rng(0)
    pixels = draw.integers(0, 256, (len(SIZES), 48, 48, 3), dtype=np.uint8)
    feed = make_feed(pack(pixels, pixels[..., 0], SIZES), config.crop, replicated(mesh), sharded(mesh))
    state = fresh(*initial_values(config, None), replicated(mesh))
    zeros = jax.device_put(np.zeros(3, np.float32), replicated(mesh))
    state = dataclasses.replace(state, loss_sum=zeros)
    plan = CropPlan(np.arange(len(SIZES)), SIZES, config.batch, config.crop, True, ("step",))
    views = [feed(plan.placement(position)) for position in (0, 1)]
    statistics = Statistics(*(jax.device_put(np.full(3, 0.4, np.float32), replicated(mesh)) for _ in range(2)))
    return make_twins_steps(config, mesh, 1.0, 10).train, state, (*views, statistics)


def step() -> tuple[str, np.ndarray]:
    """The program of a step, and the loss and its parts of the first."""
    train, state, given = begin()
    program = train.lower(state, *given).as_text()  # type: ignore[attr-defined]
    return program, np.array(train(state, *given)[1])


@pytest.fixture
def on_cpu() -> tuple[str, np.ndarray]:
    return step()


def test_the_views_are_kept_apart_on_accelerators_alone(on_cpu: tuple[str, np.ndarray], as_on_gpus: None) -> None:
    program, losses = step()
    np.testing.assert_allclose(losses, on_cpu[1], rtol=1e-3)
    assert program.count("optimization_barrier") >= 3 + 3, "for the matrices of projections and projector"


def test_the_learning_rate_rises_for_the_epochs_of_warm_up_and_falls_along_a_cosine() -> None:
    rate = learning_rates(PretrainConfig(warm_up=2, learning_rate=0.1), steps_an_epoch=2.5, total=105)
    found = [float(rate(step)) for step in (0, 1, 5, 55, 105)]
    assert found == pytest.approx([0, 0.02, 0.1, 0.05005, 0.0001], rel=1e-5)
    long = learning_rates(PretrainConfig(warm_up=100, learning_rate=0.1), steps_an_epoch=2.5, total=10)
    assert [float(long(step)) for step in (1, 5, 10)] == pytest.approx([0.02, 0.1, 0.0001], rel=1e-5)


def test_the_first_step_of_adam_is_as_long_as_the_schedule_says() -> None:
    train, state, given = begin()
    before = jax.device_get(state.params.tree())
    after = jax.device_get(train(state, *given)[0].params.tree())
    moved = max(np.abs(a - b).max() for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True))
    assert moved == pytest.approx(CONFIG.learning_rate / 5, rel=0.01)  # of ten steps five warm up


@pytest.mark.parametrize(("config", "same"), [(dataclasses.replace(CONFIG, learning_rate=1e-30), False), (STILL, True)])
def test_colours_are_drawn_anew_in_every_step(config: PretrainConfig, same: bool) -> None:
    train, state, given = begin(config)
    losses = []
    for _ in range(2):
        state, loss = train(state, *given)
        losses.append(float(loss.value))
    assert (losses[0] == pytest.approx(losses[1], rel=1e-5)) == same


def test_each_view_gets_colours_of_its_own() -> None:
    train, state, (view, _, statistics) = begin()
    assert float(train(state, view, view, statistics)[1].agreement) < 0.99


def test_a_step_is_told_what_the_configuration_says(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(step_module, "augment", lambda images, _, strength: told.append(strength) or images)
    loss = step_module.twins_loss
    monkeypatch.setattr(
        step_module, "twins_loss", lambda one, two, weight: told.append(weight) or loss(one, two, weight)
    )
    config = dataclasses.replace(CONFIG, stain=0.1, colour=0.2, grey=0.3, blur=0.4, redundancy=0.5)
    _, state, given = begin()
    jax.eval_shape(make_twins_steps.__wrapped__(config, make_mesh(4, 1), 1.0, 10).train, state, *given)
    assert told == [Augmentation(stain=0.1, colour=0.2, grey=0.3, blur=0.4)] * 2 + [0.5]


def test_running_statistics_take_in_both_views() -> None:
    """With a momentum of 0.9 for each view: the means begin at 0, and a step leaves 0.9² of what was there."""
    train, state, given = begin(STILL)
    means = []
    for _ in range(2):
        state, _ = train(state, *given)
        means.append(jax.device_get(state.stats.tree()["encoder"]["stem"]["bn"]["mean"]))
    np.testing.assert_allclose(means[1], (1 + 0.9**2) * means[0], rtol=1e-4)
