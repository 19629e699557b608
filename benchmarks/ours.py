"""jaxseg's side of every race: the functions that its own commands call, on material of the same shapes."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import material
from benchmarks.turns import Turn, drawing, warmed
from jaxseg.compute.device import PAUSE, one_at_a_time
from jaxseg.config import ModelConfig, Recipe, RunConfig
from jaxseg.inference.trained import TrainedModel
from jaxseg.input.feed import make_feed
from jaxseg.input.plan import CropPlan
from jaxseg.input.render import pack, render
from jaxseg.input.statistics import Statistics
from jaxseg.models.initial import initial
from jaxseg.training.beside import beside
from jaxseg.training.setup import make_setup
from jaxseg.training.step import steps_per_dispatch

IMAGES = 16  # in the stack that crops are cut from
STREAM = ("benchmark",)


def plan_of(setting: dict[str, Any]) -> CropPlan:
    """Crops of `side` from images twice as large."""
    sizes = np.full((IMAGES, 2), 2 * setting["side"], np.int32)
    return CropPlan(np.arange(IMAGES), sizes, setting["batch"], setting["side"], rotate=True, stream=STREAM)


def recipe_of(setting: dict[str, Any]) -> Recipe:
    """How the steps of a setting are taken."""
    model, side = ModelConfig(setting["depth"], setting["width"]), setting["side"]
    return Recipe(model, side, side, setting["batch"], compute_dtype=setting["dtype"])


def train_step(setting: dict[str, Any]) -> Turn:
    """Seconds of `steps` training steps: draw where to cut, cut and turn on the device, forward, backward, Adam.

    As many go to the device at once as in training; `steps` should be a multiple of that.
    """
    turn = training(setting).turn
    return lambda: turn()[0]


def input_wait(setting: dict[str, Any]) -> Turn:
    """Seconds of such steps from asking for a dispatch's input until it was on its way to the device."""
    turn = training(setting).turn
    return lambda: turn()[1]


class Training(NamedTuple):
    """Training steps, warmed up.

    Attributes:
        turn: carries out as many as the setting says and tells their seconds, in all and of waiting for input.
        program: gives what was compiled, as text; for an H100 that takes .6 s of a core.
    """

    turn: Callable[[], tuple[float, float]]
    program: Callable[[], str]


def training(setting: dict[str, Any]) -> Training:
    """See `train_step`."""
    side = setting["side"]
    stack = pack(*material.stack(IMAGES, 2 * side))
    setup = make_setup(
        recipe_of(setting),
        plan_of(setting),
        Statistics(np.array(material.MEAN, np.float32), np.array(material.STD, np.float32)),
        stack.pixels.shape,
        devices=1,
        dispatch=min(steps_per_dispatch(), setting["steps"]),
    )
    feed, together = make_feed(stack, side, setup.whole, setup.parts), setup.dispatch
    with beside("compile") as start:
        start(lambda: setup.prepare(together))
        batches = setup.plan.iterate()  # which imports Grain
        state = setup.begin(*initial(setup.recipe.model, None, STREAM))

    def turn(steps: int = setting["steps"]) -> tuple[float, float]:
        nonlocal state
        started, waited, loss = time.perf_counter(), 0.0, None
        for _ in range(0, steps, together):
            former = one_at_a_time(loss, PAUSE)
            asked = time.perf_counter()
            given = feed.take(batches, together)
            waited += time.perf_counter() - asked
            state, loss = setup.train(state, given)
            jax.block_until_ready(former)  # a dispatch late, as in training
        jax.block_until_ready((state, loss))
        return time.perf_counter() - started, waited

    turn(setting["warm"])
    return Training(turn, lambda: setup.prepare(together).as_text() or "")


def predict(setting: dict[str, Any]) -> Turn:
    """Seconds to predict the images by sliding window, from uint8 to probabilities in NumPy."""
    config = ModelConfig(setting["depth"], setting["width"])
    recipe = Recipe(config, crop=setting["crop"], stride=setting["stride"], compute_dtype=setting["dtype"])
    weights = {"mean": material.MEAN, "std": material.STD}
    model = TrainedModel(RunConfig("benchmark", recipe=recipe), weights, {}, *initial(config, None, STREAM))
    images = material.images(setting["sizes"])
    return warmed(lambda: model.predict(images))


def plan(setting: dict[str, Any]) -> Turn:
    """Seconds to draw `batches` batches of places to cut; none is drawn ahead."""
    return drawing(plan_of(setting).dataset(), setting["batches"])


def cut(setting: dict[str, Any]) -> Turn:
    """Seconds to cut, rotate and flip `cuts` batches of crops and their masks on the device."""
    side = setting["side"]
    stack = jax.device_put(pack(*material.stack(IMAGES, 2 * side)))
    placement = jax.device_put(plan_of(setting).placement(0))
    rendered = jax.jit(render, static_argnums=2)

    def work() -> None:
        for _ in range(setting["cuts"]):
            crops = rendered(stack, placement, side)
        jax.block_until_ready(crops)

    return warmed(work)


def read_weights(setting: dict[str, Any]) -> Turn:
    """Seconds to read a checkpoint, check it, recognise it and map it to Flax parameters."""
    from weights_convert.convert import load

    return warmed(lambda: load(Path(setting["file"])))


def convert_weights(setting: dict[str, Any]) -> Turn:
    """Seconds of a whole conversion: read, map, compare with PyTorch, write with digests and receipt, read back."""
    from weights_convert.convert import Origin, convert

    def turn() -> float:
        with tempfile.TemporaryDirectory() as out:
            started = time.perf_counter()
            convert(Path(setting["file"]), Path(out), Origin(mean=material.MEAN, std=material.STD), "benchmark")
            return time.perf_counter() - started

    turn()
    return turn
