"""Compiled beside other work, and once."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxseg.training.ahead import compiling


@pytest.mark.parametrize("cache", [True, False])
def test_the_step_is_ready_and_traced_once_for_each_shape(cache: bool, tmp_path: Path) -> None:
    traced = []

    @jax.jit
    def step(total: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        traced.append(x.shape)
        return total + x.sum(0), x.sum()

    total, ones = jax.device_put((jnp.zeros(2), jnp.ones((3, 2))), jax.devices()[0])
    former = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path) if cache else None)
    try:
        for _ in range(2):
            with compiling(step, "adds", total, ones) as ready:
                pass
            assert traced == [(3, 2)]
        for _ in range(2):
            for rows in (3, 2):
                total, loss = ready(jnp.zeros_like(total), ones[:rows])
                assert (total.tolist(), float(loss)) == ([rows, rows], 2 * rows)
    finally:
        jax.config.update("jax_compilation_cache_dir", former)
    assert traced == [(3, 2), (2, 2)]
    assert len(list(tmp_path.glob("*.traced"))) == (2 if cache else 0)


def test_what_cannot_be_compiled_says_so() -> None:
    odd = jnp.zeros(2), jnp.zeros(3)
    with pytest.raises(TypeError, match="incompatible shapes"), compiling(jax.jit(lambda x, y: x + y), "", *odd):
        pass
