"""Compiled beside other work, and once."""

import jax
import jax.numpy as jnp
import pytest

from jaxseg.training.ahead import compiling


def test_the_function_is_ready_and_traced_once() -> None:
    traced = []

    @jax.jit
    def double(x: jax.Array) -> jax.Array:
        traced.append(x.shape)
        return 2 * x

    x = jax.device_put(jnp.arange(3.0), jax.devices()[0])
    for _ in range(2):
        with compiling(double, x):
            pass
    assert double(x).tolist() == [0, 2, 4]
    assert traced == [(3,)]


def test_what_cannot_be_compiled_says_so() -> None:
    with pytest.raises(TypeError, match="incompatible shapes"), compiling(jax.jit(lambda x, y: x + y), *odd()):
        pass


def odd() -> tuple[jax.Array, jax.Array]:
    return jnp.zeros(2), jnp.zeros(3)
