"""Many vectors as one, and back."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.config import ModelConfig
from jaxseg.models.initial import initial
from jaxseg.models.unet import network
from jaxseg.training.mesh import make_mesh, replicated
from jaxseg.training.packing import Packed
from jaxseg.training.state import TrainState, fresh

CONFIG = ModelConfig(18, 1 / 16)


def drawn() -> dict:
    return initial(CONFIG, None, ("packing",))[0]


def test_a_tree_survives_on_the_host() -> None:
    packed = Packed.of(drawn())
    assert isinstance(packed.vectors, np.ndarray)
    assert packed.vectors.ndim == 1
    assert {kernel.ndim for kernel in packed.kernels.values()} == {4}
    back = packed.tree()
    assert jax.tree.structure(back) == jax.tree.structure(drawn())
    jax.tree.map(np.testing.assert_array_equal, back, drawn())


def test_a_tree_survives_in_a_compiled_function() -> None:
    back = jax.jit(lambda tree: Packed.of(tree).tree())(drawn())
    jax.tree.map(np.testing.assert_array_equal, back, drawn())


def begun() -> TrainState:
    return fresh(*initial(CONFIG, None, ("packing",)), replicated(make_mesh(2)))


def test_shapes_of_a_state_are_those_of_its_arrays() -> None:
    net, state = network(CONFIG), begun()
    shapes = TrainState.shapes(net.params, net.stats, state.step.sharding)
    assert jax.tree.structure(shapes) == jax.tree.structure(state)
    for shape, leaf in zip(jax.tree.leaves(shapes), jax.tree.leaves(state), strict=True):
        assert (shape.shape, shape.dtype, shape.sharding) == (leaf.shape, leaf.dtype, leaf.sharding)


def test_a_state_begins_with_what_it_is_given_and_nothing_learned() -> None:
    params, stats = initial(CONFIG, None, ("packing",))
    before = jax.tree.map(np.copy, (params, stats))
    state = fresh(params, stats, replicated(make_mesh(2)))
    jax.tree.map(np.testing.assert_array_equal, (state.params.tree(), state.stats.tree()), before)
    jax.tree.map(np.testing.assert_array_equal, (state.best_params.tree(), state.best_stats.tree()), before)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves((state.first, state.second)))
    assert (int(state.step), float(state.loss_sum), float(state.best_loss)) == (0, 0, np.inf)
    jax.tree.map(lambda leaf: leaf.delete(), state.params)  # as a step does that consumes the state
    jax.tree.map(np.testing.assert_array_equal, (params, stats), before)
    jax.tree.map(np.testing.assert_array_equal, state.best_params.tree(), before[0])


def test_gradients_come_packed() -> None:
    def weighted(packed: Packed) -> jax.Array:
        return jnp.asarray(sum(number * leaf.sum() for number, leaf in enumerate(jax.tree.leaves(packed.tree()))))

    leaves, structure = jax.tree.flatten(drawn())
    expected = Packed.of(
        jax.tree.unflatten(structure, [np.full(leaf.shape, n, np.float32) for n, leaf in enumerate(leaves)])
    )
    jax.tree.map(np.testing.assert_array_equal, jax.grad(weighted)(Packed.of(drawn())), expected)


def test_kernels_are_rounded_but_the_heads() -> None:
    packed = Packed.of(jax.tree.map(jnp.asarray, drawn()))
    coarse = packed.rounded_kernels(jnp.bfloat16)
    assert set(packed.kernels) - set(coarse) == {"head/kernel"}
    assert {kernel.dtype for kernel in coarse.values()} == {jnp.dtype("bfloat16")}
    assert packed.rounded_kernels(jnp.float32) == {}
    joined = packed.with_kernels(coarse)
    assert list(joined.kernels) == list(packed.kernels)
    assert joined.kernels["head/kernel"].dtype == jnp.float32
    assert joined.vectors is packed.vectors


def test_a_state_comes_back_from_what_a_checkpoint_keeps_of_it() -> None:
    state = begun()
    changed = jax.tree.map(lambda leaf: leaf + 1, state)
    back = state.from_tree(changed.to_tree())
    assert jax.tree.structure(back) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, back, changed)
