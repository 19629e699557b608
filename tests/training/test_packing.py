"""Many vectors as one, and back."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.config import ModelConfig
from jaxseg.models.initial import initial
from jaxseg.models.unet import network
from jaxseg.training.packing import (
    KERNELS,
    VECTORS,
    pack,
    pack_state,
    rounded_kernels,
    unpack,
    unpack_state,
    with_kernels,
)
from jaxseg.training.state import TrainState

CONFIG = ModelConfig(18, 1 / 16)


def test_a_tree_survives() -> None:
    params, _ = initial(CONFIG, None, ("packing",))
    packed = pack(params)
    assert packed[VECTORS].ndim == 1
    assert {kernel.ndim for kernel in packed[KERNELS].values()} == {4}
    back = unpack(packed, network(CONFIG).params)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_a_state_survives() -> None:
    state = TrainState.create(*initial(CONFIG, None, ("packing",)))
    back = unpack_state(pack_state(state), network(CONFIG).params)
    jax.tree.map(np.testing.assert_array_equal, back, state)


def test_gradients_come_packed() -> None:
    params, _ = initial(CONFIG, None, ("packing",))

    def weighted(packed: dict) -> jax.Array:
        leaves = jax.tree.leaves(unpack(packed, network(CONFIG).params))
        return jnp.asarray(sum(number * leaf.sum() for number, leaf in enumerate(leaves)))

    gradient = jax.grad(weighted)(pack(params))
    expected = jax.tree.unflatten(
        jax.tree.structure(params), [np.full(x.shape, n, np.float32) for n, x in enumerate(jax.tree.leaves(params))]
    )
    jax.tree.map(np.testing.assert_array_equal, gradient, pack(expected))


def test_kernels_are_rounded_but_the_heads() -> None:
    packed = pack(initial(CONFIG, None, ("packing",))[0])
    coarse = rounded_kernels(packed, jnp.bfloat16)
    assert set(packed[KERNELS]) - set(coarse) == {"head/kernel"}
    assert {kernel.dtype for kernel in coarse.values()} == {jnp.dtype("bfloat16")}
    assert rounded_kernels(packed, jnp.float32) == {}
    joined = with_kernels(packed, coarse)
    assert list(joined[KERNELS]) == list(packed[KERNELS])
    assert joined[KERNELS]["head/kernel"].dtype == jnp.float32
    assert joined[VECTORS] is packed[VECTORS]
