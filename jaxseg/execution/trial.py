"""A few steps of training on made-up images, to see whether the devices of this host can do it at all."""

import json
import math
import statistics
import time

import jax
import numpy as np

from jaxseg.config import ModelConfig, Recipe
from jaxseg.execution.start import prepare_process
from jaxseg.input.feed import make_feed
from jaxseg.input.plan import CropPlan
from jaxseg.input.render import pack
from jaxseg.input.statistics import Statistics
from jaxseg.models.initial import initial
from jaxseg.training.setup import make_setup
from jaxseg.training.step import steps_per_dispatch
from jaxseg.wording import counted

MODEL, CROP, IMAGES = ModelConfig(18, 1 / 8), 64, 2  # every kind of layer, compiled in seconds
CROPS_A_DEVICE = 2
SQUARE = 16  # pixels
STREAM = ("trial",)
WARM, TIMED = 3, 7  # dispatches


def trial() -> str:
    """Compile a step of a small net, take some on all devices of this host together, and say how long that took.

    Raises:
        ArithmeticError: the loss is not a number.
    """
    _, seconds = _trained(2)
    together = steps_per_dispatch()
    devices = counted(jax.device_count(), "device")
    return f"works on {devices}: compiled in {seconds[0]:.0f} s, then {1000 * seconds[1] / together:.0f} ms a step"


def timed() -> str:
    """JSON of the loss of such steps, which falls from .8 to .5 by then, and of the median seconds of later ones."""
    losses, seconds = _trained(WARM + TIMED)
    return json.dumps({"loss": losses[WARM - 1], "seconds": statistics.median(seconds[WARM:]) / steps_per_dispatch()})


def _trained(dispatches: int) -> tuple[list[float], list[float]]:
    """Of each dispatch the loss of its last step, and its seconds."""
    prepare_process()
    batch = CROPS_A_DEVICE * jax.device_count()
    recipe = Recipe(MODEL, CROP, CROP, batch, learning_rate=1e-3)
    sizes = np.full((IMAGES, 2), 2 * CROP, np.int32)
    stack = pack(*_material(), sizes)
    plan = CropPlan(np.arange(IMAGES), sizes, batch, CROP, recipe.rotate, STREAM)
    half = np.full(3, 0.5, np.float32)
    setup = make_setup(recipe, plan, Statistics(half, half), stack.pixels.shape)
    feed, batches = make_feed(stack, CROP, setup.whole, setup.parts), plan.iterate()
    state = setup.begin(*initial(MODEL, None, STREAM))
    losses, seconds = list[float](), list[float]()
    for _ in range(dispatches):
        started = time.perf_counter()
        state, last = setup.train(state, feed.take(batches, setup.dispatch))
        losses.append(float(jax.device_get(last)))
        seconds.append(time.perf_counter() - started)
    if not math.isfinite(losses[-1]):
        raise ArithmeticError(f"the loss after {dispatches * setup.dispatch} steps is {losses[-1]}")
    return losses, seconds


def _material() -> tuple[np.ndarray, np.ndarray]:
    """Noise that is brighter in some squares, and which those are: images and masks as `pack` takes them."""
    noise = np.random.default_rng(0)
    squares = noise.integers(0, 2, (IMAGES, 2 * CROP // SQUARE, 2 * CROP // SQUARE), dtype=np.uint8)
    masks = squares.repeat(SQUARE, axis=1).repeat(SQUARE, axis=2)
    return 96 * masks[..., None] + noise.integers(0, 160, (*masks.shape, 3), dtype=np.uint8), masks
