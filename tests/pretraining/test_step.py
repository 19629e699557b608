"""A step of pretraining on accelerators is that on CPUs, and keeps the products of both views apart."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from jaxseg.compute import device
from jaxseg.input.feed import make_feed
from jaxseg.input.plan import CropPlan
from jaxseg.input.render import pack
from jaxseg.input.statistics import Statistics
from jaxseg.pretraining.config import PretrainConfig
from jaxseg.pretraining.network import initial_values
from jaxseg.pretraining.step import make_twins_steps
from jaxseg.training.mesh import make_mesh, replicated, sharded
from jaxseg.training.state import fresh

CONFIG = PretrainConfig(18, 1 / 16, crop=32, batch=4, projector=8, compute_dtype="float32")
SIZES = np.full((3, 2), 48, np.int32)


@pytest.fixture
def as_on_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is written for accelerators, carried out on this CPU."""

    def forget() -> None:
        make_twins_steps.cache_clear()
        device._understood.cache_clear()
        jax.clear_caches()

    forget()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    yield
    forget()


def step() -> tuple[str, np.ndarray]:
    """The program of a step, and the loss and its parts of the first."""
    mesh, draw = make_mesh(CONFIG.batch, 1), np.random.default_rng(0)
    pixels = draw.integers(0, 256, (len(SIZES), 48, 48, 3), dtype=np.uint8)
    feed = make_feed(pack(pixels, pixels[..., 0], SIZES), CONFIG.crop, replicated(mesh), sharded(mesh))
    state = fresh(*initial_values(CONFIG, None), replicated(mesh))
    zeros = jax.device_put(np.zeros(3, np.float32), replicated(mesh))
    state = dataclasses.replace(state, loss_sum=zeros)
    plan = CropPlan(np.arange(len(SIZES)), SIZES, CONFIG.batch, CONFIG.crop, True, ("step",))
    views = [feed(plan.placement(position)) for position in (0, 1)]
    statistics = Statistics(*(jax.device_put(np.full(3, 0.4, np.float32), replicated(mesh)) for _ in range(2)))
    train = make_twins_steps(CONFIG, mesh, 1.0, 10).train
    program = train.lower(state, *views, statistics).as_text()  # type: ignore[attr-defined]
    return program, np.array(train(state, *views, statistics)[1])


@pytest.fixture
def on_cpu() -> tuple[str, np.ndarray]:
    return step()


def test_the_views_are_kept_apart_on_accelerators_alone(on_cpu: tuple[str, np.ndarray], as_on_gpus: None) -> None:
    program, losses = step()
    np.testing.assert_allclose(losses, on_cpu[1], rtol=1e-3)
    assert program.count("optimization_barrier") >= 3 + 3, "for the matrices of projections and projector"
