"""What the steps of a training work with, settled before an image is decoded: programs, shapes, what goes with them."""

import functools
from dataclasses import dataclass

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.stages import Compiled

from jaxseg.config import ModelConfig, Recipe
from jaxseg.input.feed import Place, Source, lies_on_devices, shapes
from jaxseg.input.placement import Placement
from jaxseg.input.plan import CropPlan
from jaxseg.input.statistics import Statistics
from jaxseg.input.transfer import to_devices
from jaxseg.models.unet import network
from jaxseg.storage.arrays import Tree
from jaxseg.training.mesh import make_mesh, replicated, sharded
from jaxseg.training.state import TrainState, fresh
from jaxseg.training.step import Steps, make_steps, steps_per_dispatch

Arguments = tuple[TrainState, Source, Placement, Statistics, Array]  # of `Steps.train`


@dataclass(frozen=True)
class Setup:
    """All that is the same from the first step of a training to its last.

    Attributes:
        recipe: model, crops, compute dtype and learning rate are taken from it.
        plan: which crops are trained on.
        stack: shape (N, H, W) of the images that they are cut from.
        mesh: the devices.
        resident: whether the stack lies on them.
        dispatch: steps that are handed to them at once, where as many are left.
        steps: compiled functions.
        statistics, learning_rate: on the devices.
    """

    recipe: Recipe
    plan: CropPlan
    stack: tuple[int, ...]
    mesh: Mesh
    resident: bool
    dispatch: int
    steps: Steps
    statistics: Statistics
    learning_rate: Array

    @property
    def whole(self) -> NamedSharding:
        """Of what each device has all of."""
        return replicated(self.mesh)

    @property
    def parts(self) -> NamedSharding:
        """Of batches."""
        return sharded(self.mesh)

    def like(self, count: int) -> Arguments:
        """Shapes of what `steps.train` takes for so many steps at once."""
        return arguments_like(self.recipe, self.stack, self.mesh, self.resident, count)

    def prepare(self, count: int) -> Compiled:
        """What takes so many steps at once, compiled."""
        return self.steps.train.prepare(*self.like(count))

    def begin(self, params: Tree, stats: Tree) -> TrainState:
        """State before the first step, on the devices, from NumPy arrays."""
        return fresh(params, stats, self.whole)

    def train(self, state: TrainState, given: tuple[Source, Placement]) -> tuple[TrainState, Array]:
        """Take the steps whose crops `Feed.take` gave; consumes the state. Gives the loss of the last of them."""
        return self.steps.train(state, *given, self.statistics, self.learning_rate)


def make_setup(
    recipe: Recipe,
    plan: CropPlan,
    statistics: Statistics,
    stack: tuple[int, ...],
    *,
    devices: int | None = None,
    place: Place = "auto",
    dispatch: int | None = None,
) -> Setup:
    """Nothing is compiled yet.

    Args:
        recipe, plan, stack: see `Setup`.
        statistics: NumPy arrays.
        devices: see `make_mesh`.
        place: where the stack shall lie; "auto" takes the devices where it fits.
        dispatch: None takes what suits the devices. Crops that are cut on the host go one step at a time.

    Raises:
        UsageError: see `make_mesh`.
    """
    mesh = make_mesh(recipe.batch, devices)
    resident = lies_on_devices(stack, place)
    return Setup(
        recipe=recipe,
        plan=plan,
        stack=stack,
        mesh=mesh,
        resident=resident,
        dispatch=(dispatch or steps_per_dispatch()) if resident else 1,
        steps=make_steps(recipe.model, recipe.crop, recipe.compute_dtype, mesh),
        statistics=to_devices(statistics, replicated(mesh)),
        learning_rate=to_devices(np.float32(recipe.learning_rate), replicated(mesh)),  # type: ignore[arg-type]
    )


def arguments_like(recipe: Recipe, stack: tuple[int, ...], mesh: Mesh, resident: bool, count: int) -> Arguments:
    """Shapes of what `Steps.train` takes for `count` steps at once, known before anything of it is there."""
    whole = replicated(mesh)

    def like(*shape: int) -> Array:
        return jax.ShapeDtypeStruct(shape, np.float32, sharding=whole)  # type: ignore[return-value]

    source, placement = shapes(stack, recipe.crop, recipe.batch, count, resident, whole, sharded(mesh))
    return _state_like(recipe.model, whole), source, placement, Statistics(like(3), like(3)), like()


@functools.cache
def _state_like(model: ModelConfig, whole: NamedSharding) -> TrainState:
    net = network(model)
    return TrainState.shapes(net.params, net.stats, whole)
