"""Everything a training run knows at a step, as one pytree."""

import functools
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Sharding
from jax.typing import DTypeLike

from jaxseg.arrays import Tree

ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class TrainState:
    """Arrays of a run; float32 unless said otherwise.

    Attributes:
        step: int32, steps taken.
        params, stats: parameters and running statistics.
        first, second: Adam's moments, of the shape of `params`.
        loss_sum: of the training losses since the last validation.
        best_params, best_stats, best_loss, best_step: at the least validation loss so far.
    """

    step: Array
    params: Tree
    stats: Tree
    first: Tree
    second: Tree
    loss_sum: Array
    best_params: Tree
    best_stats: Tree
    best_loss: Array
    best_step: Array

    @classmethod
    def create(cls, params: Tree, stats: Tree) -> Self:
        """State before the first step, NumPy arrays."""

        def zeros() -> Tree:
            return jax.tree.map(lambda param: np.zeros(param.shape, param.dtype), params)

        return cls(
            step=np.int32(0),  # type: ignore[arg-type]
            params=params,
            stats=stats,
            first=zeros(),
            second=zeros(),
            loss_sum=np.float32(0),  # type: ignore[arg-type]
            best_params=jax.tree.map(np.copy, params),
            best_stats=jax.tree.map(np.copy, stats),
            best_loss=np.float32(np.inf),  # type: ignore[arg-type]
            best_step=np.int32(0),  # type: ignore[arg-type]
        )

    @classmethod
    def shapes(cls, params: Tree, stats: Tree, sharding: Sharding) -> Self:
        """Shapes of a state on devices, for trees of shapes."""

        def like(shape: tuple[int, ...] = (), dtype: DTypeLike = np.float32) -> Any:
            return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

        def tree(shapes: Tree) -> Tree:
            return jax.tree.map(lambda leaf: like(leaf.shape), shapes)

        return cls(
            step=like(dtype=np.int32),
            params=tree(params),
            stats=tree(stats),
            first=tree(params),
            second=tree(params),
            loss_sum=like(),
            best_params=tree(params),
            best_stats=tree(stats),
            best_loss=like(),
            best_step=like(dtype=np.int32),
        )

    def moved(self, gradient: Tree, stats: Tree, loss: Array, learning_rate: Array) -> Self:
        """One step of Adam."""
        moved = jax.tree.map(
            functools.partial(_moved, self.step, learning_rate), gradient, self.params, self.first, self.second
        )
        params, first, second = jax.tree.transpose(jax.tree.structure(gradient), None, moved)
        return self._with(
            step=self.step + 1,
            params=params,
            stats=stats,
            first=first,
            second=second,
            loss_sum=self.loss_sum + loss,
        )

    def judged(self, validation_loss: Array) -> Self:
        """Keep the parameters if this validation loss is the least so far; the training loss starts anew."""
        better = validation_loss < self.best_loss

        def choose(here: Any, best: Any) -> Array:
            return jnp.where(better, here, best)

        return self._with(
            loss_sum=jnp.zeros_like(self.loss_sum),
            best_params=jax.tree.map(choose, self.params, self.best_params),
            best_stats=jax.tree.map(choose, self.stats, self.best_stats),
            best_loss=choose(validation_loss, self.best_loss),
            best_step=choose(self.step, self.best_step),
        )

    def best(self) -> Tree:
        """What inference needs."""
        return {"params": self.best_params, "stats": self.best_stats}

    def to_tree(self) -> Tree:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_tree(cls, tree: Tree) -> Self:
        return cls(**tree)

    def _with(self, **changes: Any) -> Self:
        return type(self)(**{**self.to_tree(), **changes})


@jax.jit  # traced once for each shape; the compiler inlines it
def _moved(
    step: Array, learning_rate: Array, gradient: Array, param: Array, first: Array, second: Array
) -> tuple[Array, Array, Array]:
    """A parameter and its moments after one step of Adam; the gradient may be of a coarser dtype."""
    direction, after = ADAM.update(gradient.astype(param.dtype), optax.ScaleByAdamState(step, first, second))
    return param - learning_rate * direction, after.mu, after.nu
