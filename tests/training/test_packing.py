"""Many vectors as one, and back."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from jaxseg.config import ModelConfig
from jaxseg.models.initial import initial
from jaxseg.models.unet import network
from jaxseg.training.packing import Packed
from jaxseg.training.state import TrainState

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


def test_shapes_of_a_state_are_those_of_its_arrays() -> None:
    net, state = network(CONFIG), TrainState.create(*initial(CONFIG, None, ("packing",)))
    shapes = TrainState.shapes(net.params, net.stats, SingleDeviceSharding(jax.devices()[0]))
    assert jax.tree.structure(shapes) == jax.tree.structure(state)
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(shapes)] == [(x.shape, x.dtype) for x in jax.tree.leaves(state)]


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
    params, stats = initial(CONFIG, None, ("packing",))
    state = TrainState.create(params, stats)
    changed = jax.tree.map(lambda leaf: leaf + 1, state)
    back = state.from_tree(changed.to_tree())
    assert jax.tree.structure(back) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, back, changed)
