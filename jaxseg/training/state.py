"""Everything a training run knows at a step, as one pytree."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import NamedSharding, Sharding

from jaxseg.compute.device import compiled
from jaxseg.input.transfer import to_devices
from jaxseg.storage.arrays import Tree
from jaxseg.training.packing import Packed

ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class TrainState:
    """Arrays of a run; float32 unless said otherwise.

    Attributes:
        step: int32, steps taken.
        params, stats: parameters and running statistics, packed.
        first, second: Adam's moments, of the shape of `params`.
        loss_sum: of the training losses since the last validation.
        best_params, best_stats, best_loss, best_step: at the least validation loss so far.
    """

    step: Array
    params: Packed
    stats: Packed
    first: Packed
    second: Packed
    loss_sum: Array
    best_params: Packed
    best_stats: Packed
    best_loss: Array
    best_step: Array

    @classmethod
    def create(cls, params: Packed, stats: Packed) -> Self:
        """State before the first step; for `jax.jit`, see `fresh`."""
        return cls(
            step=jnp.int32(0),
            params=params,
            stats=stats,
            first=jax.tree.map(jnp.zeros_like, params),
            second=jax.tree.map(jnp.zeros_like, params),
            loss_sum=jnp.float32(0),
            best_params=jax.tree.map(jnp.copy, params),
            best_stats=jax.tree.map(jnp.copy, stats),
            best_loss=jnp.float32(jnp.inf),
            best_step=jnp.int32(0),
        )

    @classmethod
    def shapes(cls, params: Tree, stats: Tree, sharding: Sharding) -> Self:
        """Shapes of a state on devices, for trees of shapes."""
        made = jax.eval_shape(lambda *trees: cls.create(*map(Packed.of, trees)), params, stats)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), made)

    def apply_gradients(self, gradient: Packed, stats: Packed, loss: Array, learning_rate: Array) -> Self:
        """One step of Adam."""
        moved = jax.tree.map(
            functools.partial(_moved, self.step, learning_rate), gradient, self.params, self.first, self.second
        )
        params, first, second = jax.tree.transpose(jax.tree.structure(gradient), None, moved)
        return dataclasses.replace(
            self,
            step=self.step + 1,
            params=params,
            stats=stats,
            first=first,
            second=second,
            loss_sum=self.loss_sum + loss,
        )

    def keep_best(self, validation_loss: Array) -> Self:
        """Keep the parameters if this validation loss is the least so far; the training loss starts anew."""
        better = validation_loss < self.best_loss

        def choose(here: Any, best: Any) -> Array:
            return jnp.where(better, here, best)

        return dataclasses.replace(
            self,
            loss_sum=jnp.zeros_like(self.loss_sum),
            best_params=jax.tree.map(choose, self.params, self.best_params),
            best_stats=jax.tree.map(choose, self.stats, self.best_stats),
            best_loss=choose(validation_loss, self.best_loss),
            best_step=choose(self.step, self.best_step),
        )

    def best(self) -> dict[str, Packed]:
        """What inference needs."""
        return {"params": self.best_params, "stats": self.best_stats}

    def to_tree(self) -> Tree:
        """Unpacked, for a checkpoint."""
        return {name: value.tree() if isinstance(value, Packed) else value for name, value in self._fields().items()}

    def from_tree(self, tree: Tree) -> Self:
        """What `to_tree` gave of a state like this one."""
        packed = {name: Packed.of(tree[name]) for name, value in self._fields().items() if isinstance(value, Packed)}
        return dataclasses.replace(self, **{**tree, **packed})

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def fresh(params: Tree, stats: Tree, sharding: NamedSharding) -> TrainState:
    """State before the first step, on the devices, from NumPy arrays.

    The moments and the best model so far are made there: all of a state is four times as much to hand over.
    """
    return _creator(sharding)(*to_devices((Packed.of(params), Packed.of(stats)), sharding))


@functools.cache
def _creator(sharding: NamedSharding) -> Callable[[Packed, Packed], TrainState]:
    return compiled(TrainState.create, out_shardings=sharding, donate_argnums=(0, 1))


@jax.jit  # traced once for each shape; the compiler inlines it
def _moved(
    step: Array, learning_rate: Array, gradient: Array, param: Array, first: Array, second: Array
) -> tuple[Array, Array, Array]:
    """A parameter and its moments after one step of Adam; the gradient may be of a coarser dtype."""
    direction, after = ADAM.update(gradient.astype(param.dtype), optax.ScaleByAdamState(step, first, second))
    return param - learning_rate * direction, after.mu, after.nu
