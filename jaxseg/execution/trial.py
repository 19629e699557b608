"""A few steps of training on noise, to see whether the devices of this host can do it at all."""

import itertools
import math
import time

import jax
import numpy as np
from jax import Array

from jaxseg.config import ModelConfig
from jaxseg.execution.start import prepare_process
from jaxseg.input.feed import make_feed, stacked
from jaxseg.input.plan import Plan
from jaxseg.input.render import pack
from jaxseg.input.transfer import to_devices
from jaxseg.models.initial import initial
from jaxseg.training.mesh import make_mesh, replicated, sharded
from jaxseg.training.state import fresh
from jaxseg.training.step import Statistics, make_steps, steps_per_dispatch

MODEL, CROP, IMAGES = ModelConfig(18, 1 / 8), 64, 2  # every kind of layer, compiled in seconds
CROPS_A_DEVICE = 2
STREAM = ("trial",)


def trial() -> str:
    """Compile a step of a small net, take some on all devices of this host together, and say how long that took.

    Raises:
        ArithmeticError: the loss is not a number.
    """
    prepare_process()
    batch = CROPS_A_DEVICE * jax.device_count()
    mesh = make_mesh(batch)
    whole, parts = replicated(mesh), sharded(mesh)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 2 * CROP, 2 * CROP, 3), dtype=np.uint8)
    sizes = np.full((IMAGES, 2), 2 * CROP, np.int32)
    feed = make_feed(pack(pixels, pixels[..., 0] // 128, sizes), CROP, whole, parts)
    batches = Plan(np.arange(IMAGES), sizes, batch, CROP, rotate=True, stream=STREAM).iterate()
    state = fresh(*initial(MODEL, None, STREAM), whole)
    half = np.full(3, 0.5, np.float32)
    statistics = to_devices(Statistics(half, half), whole)  # type: ignore[arg-type]
    learning_rate: Array = to_devices(np.float32(1e-3), whole)  # type: ignore[assignment]
    train, together, seconds, loss = make_steps(MODEL, CROP, "auto", mesh).train, steps_per_dispatch(), [], math.nan
    for _ in range(2):
        started = time.perf_counter()
        source, placement = feed(stacked(list(itertools.islice(batches, together))))
        state, last = train(state, source, placement, statistics, learning_rate)
        loss = float(jax.device_get(last))
        seconds.append(time.perf_counter() - started)
    if not math.isfinite(loss):
        raise ArithmeticError(f"the loss after {2 * together} steps is {loss}")
    devices = f"{jax.device_count()} device{'s' * (jax.device_count() > 1)}"
    return f"works on {devices}: compiled in {seconds[0]:.0f} s, then {1000 * seconds[1] / together:.0f} ms a step"
