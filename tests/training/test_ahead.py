"""Compiled beside other work, and once."""

import jax
import jax.numpy as jnp
import pytest

from jaxseg.training.ahead import compiling


def test_the_step_is_ready_and_traced_once_for_each_shape() -> None:
    traced = []

    @jax.jit
    def step(total: jax.Array, x: jax.Array) -> jax.Array:
        traced.append(x.shape)
        return total + x.sum(0)

    total, ones = jnp.zeros(2), jnp.ones((3, 2))
    for _ in range(2):
        with compiling(step, "adds", total, ones) as ready:
            pass
        assert traced == [(3, 2)]
    for _ in range(2):
        assert ready(total, ones).tolist() == [3, 3]
        assert ready(total, ones[:2]).tolist() == [2, 2]
    assert traced == [(3, 2), (2, 2)]


def test_what_cannot_be_compiled_says_so() -> None:
    odd = jnp.zeros(2), jnp.zeros(3)
    with pytest.raises(TypeError, match="incompatible shapes"), compiling(jax.jit(lambda x, y: x + y), "", *odd):
        pass
