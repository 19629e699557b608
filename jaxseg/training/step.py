"""The compiled functions of a run: take a step, measure a batch, keep the best. One set of shapes serves a dataset."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxseg.compute.device import FLOAT32, Precision, on_cpu, precision
from jaxseg.compute.program import Program
from jaxseg.config import ModelConfig
from jaxseg.input.feed import Source, cut
from jaxseg.input.placement import Placement
from jaxseg.input.render import normalise
from jaxseg.input.statistics import Statistics
from jaxseg.models.rounding import rounded
from jaxseg.models.unet import network
from jaxseg.storage.arrays import Tree
from jaxseg.training.losses import LossSums, loss, loss_sums
from jaxseg.training.mesh import replicated
from jaxseg.training.packing import Kernels, Packed
from jaxseg.training.state import TrainState

STEPS_PER_DISPATCH = 10  # on accelerators, where starting a step from Python can take as long as the step


def steps_per_dispatch() -> int:
    """How many steps are handed to the device at once: one on CPUs, where XLA's loops are slow."""
    return 1 if on_cpu() else STEPS_PER_DISPATCH


class Steps(NamedTuple):
    """Compiled functions; `train` and `keep_best` consume the state that they are given.

    Attributes:
        train: (state, source, placement, statistics, learning_rate) -> (state, loss); a placement of several steps,
            (K, B, ...), takes them all and gives the last loss.
        measure: (params, stats, source, placement, weights, statistics) -> LossSums
        keep_best: (state, validation loss) -> state
    """

    train: Program[[TrainState, Source, Placement, Statistics, Array], tuple[TrainState, Array]]
    measure: Program[..., LossSums]
    keep_best: Program[[TrainState, Array], TrainState]


@functools.cache
def make_steps(config: ModelConfig, crop: int, compute_dtype: str, mesh: Mesh) -> Steps:
    """Compiled on first use and kept for the life of the process, so that a warm worker compiles once."""
    net, numbers = network(config), precision(compute_dtype)

    def computed(params: Tree) -> Tree:
        """Where maps and kernels are of one dtype, each convolution rounds its kernel."""
        return rounded(params, numbers) if numbers.mixed else params

    def step(
        state: TrainState,
        params: Packed,
        source: Source,
        placement: Placement,
        statistics: Statistics,
        learning_rate: Array,
    ) -> tuple[TrainState, Array]:
        """One step from `state`; `params` are the state's, as the network shall compute with them."""
        images, masks = cut(source, placement, crop)
        inputs = normalise(images, *statistics).astype(numbers.maps)

        def objective(params: Packed) -> tuple[Array, Tree]:
            (logits, _), stats = net.apply(computed(params.tree()), state.stats.tree(), inputs, train=True)
            ones = jnp.ones(len(inputs), jnp.float32)
            return loss(loss_sums(logits, masks, ones)), stats

        (value, stats), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        return state.apply_gradients(gradient, Packed.of(stats), value, learning_rate), value

    def train(
        state: TrainState, source: Source, placement: Placement, statistics: Statistics, learning_rate: Array
    ) -> tuple[TrainState, Array]:
        if placement.image.ndim == 1:
            return step(state, state.params, source, placement, statistics, learning_rate)

        def next_step(carry: tuple[TrainState, Kernels], batch: Placement) -> tuple[tuple[TrainState, Kernels], Array]:
            state, kernels = carry
            state, loss = step(state, state.params.with_kernels(kernels), source, batch, statistics, learning_rate)
            return (state, state.params.rounded_kernels(numbers.kernels)), loss

        start = state, state.params.rounded_kernels(numbers.kernels)
        (state, _), losses = jax.lax.scan(next_step, start, placement)
        return state, losses[-1]

    def measure(
        params: Packed, stats: Packed, source: Source, placement: Placement, weights: Array, statistics: Statistics
    ) -> LossSums:
        images, masks = cut(source, placement, crop)
        inputs = normalise(images, *statistics).astype(numbers.maps)
        (logits, _), _ = net.apply(computed(params.tree()), stats.tree(), inputs, train=False)
        return loss_sums(logits, masks, weights)

    def keep_best(state: TrainState, validation_loss: Array) -> TrainState:
        return state.keep_best(validation_loss)

    def program(
        function: Callable[..., Any], result: Callable[..., Any], numbers: Precision = FLOAT32, **options: Any
    ) -> Program[..., Any]:
        about = config, crop, compute_dtype
        return Program(function, about, result, numbers, out_shardings=replicated(mesh), **options)

    return Steps(
        train=program(train, lambda state, *_: (state, 0), numbers, gradients=True, donate_argnums=0),
        measure=program(measure, lambda *_: LossSums._make(LossSums._fields), numbers),
        keep_best=program(keep_best, lambda state, _: state, donate_argnums=0),
    )
