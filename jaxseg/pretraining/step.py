"""The compiled functions of a pretraining: one step, and the sums for the log begun anew.

The state is that of training; its `loss_sum` is a vector here, of the sums of a `TwinsLoss`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.sharding import Mesh

from jaxseg import seeds
from jaxseg.compute.device import compiled, on_cpu, precision
from jaxseg.input.feed import Source, cut
from jaxseg.input.placement import Placement
from jaxseg.input.render import normalise
from jaxseg.input.statistics import Statistics
from jaxseg.models.rounding import rounded
from jaxseg.pretraining.augment import Augmentation, augment
from jaxseg.pretraining.config import PretrainConfig
from jaxseg.pretraining.loss import TwinsLoss, twins_loss
from jaxseg.pretraining.network import twins_network
from jaxseg.storage.arrays import Tree
from jaxseg.training.mesh import replicated
from jaxseg.training.packing import Packed
from jaxseg.training.state import TrainState

FINAL_SHARE = 0.001  # of the peak learning rate, at the last step

View = tuple[Source, Placement]


class TwinsSteps(NamedTuple):
    """Jitted functions that consume the state which they are given.

    Attributes:
        train: (state, first view, second view, statistics) -> (state, loss).
        restart: state -> state whose sums of losses are 0.
    """

    train: Callable[[TrainState, View, View, Statistics], tuple[TrainState, TwinsLoss]]
    restart: Callable[[TrainState], TrainState]


def learning_rates(config: PretrainConfig, steps_an_epoch: float, total: int) -> optax.Schedule:
    """Linear warm-up, then a cosine down to a thousandth of the peak. Warm-up takes half of all steps at most."""
    warm_up = min(round(config.warm_up * steps_an_epoch), total // 2)
    peak = config.learning_rate
    return optax.warmup_cosine_decay_schedule(0.0, peak, warm_up, total, peak * FINAL_SHARE)


def _apart(params: Tree) -> Tree:
    """The same for the second view, whose matrices XLA shall not recognise on GPUs.

    It would join the products of both views with one matrix to one product, of which its library Triton can make no
    kernel (jaxlib 0.11.2, for an H100).
    """
    if on_cpu():
        return params
    return jax.tree.map(lambda leaf: lax.optimization_barrier(leaf) if leaf.shape[:2] == (1, 1) else leaf, params)


@functools.cache
def make_twins_steps(config: PretrainConfig, mesh: Mesh, steps_an_epoch: float, total: int) -> TwinsSteps:
    """Functions for a pretraining of `total` steps; batches are spread over the mesh, the result is not."""
    net, numbers = twins_network(config), precision(config.compute_dtype)
    rate = learning_rates(config, steps_an_epoch, total)
    strength = Augmentation(config.stain, config.colour, config.grey, config.blur)
    seed = seeds.seed("colours", *config.stream) % 2**32

    def train(state: TrainState, first: View, second: View, statistics: Statistics) -> tuple[TrainState, TwinsLoss]:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), state.step))
        images = [
            normalise(augment(cut(*view, config.crop)[0], key, strength), *statistics).astype(numbers.maps)
            for view, key in zip((first, second), keys, strict=True)
        ]

        def objective(packed: Packed) -> tuple[Array, tuple[TwinsLoss, Tree]]:
            params = packed.tree()
            # one view after the other, as in the paper: each is normalised by its own batch statistics
            if numbers.mixed:
                params = {**params, "encoder": rounded(params["encoder"], numbers)}
            one, stats = net.apply(params, state.stats.tree(), images[0], train=True)
            two, stats = net.apply(_apart(params), stats, images[1], train=True)
            loss = twins_loss(one, two, config.redundancy)
            return loss.value, (loss, stats)

        gradient, (loss, stats) = jax.grad(objective, has_aux=True)(state.params)
        return state.apply_gradients(gradient, Packed.of(stats), jnp.stack(loss), rate(state.step + 1)), loss

    def restart(state: TrainState) -> TrainState:
        return dataclasses.replace(state, loss_sum=jnp.zeros_like(state.loss_sum))

    whole = replicated(mesh)
    return TwinsSteps(
        train=compiled(train, numbers, gradients=True, out_shardings=whole, donate_argnums=0),
        restart=compiled(restart, out_shardings=whole, donate_argnums=0),
    )
