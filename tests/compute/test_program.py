"""Compiled once for each set of shapes, beside other work or when first called."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxseg.compute import first_touch, heap, program
from jaxseg.compute.device import Precision, compiled, precision
from jaxseg.compute.program import Program
from jaxseg.config import ModelConfig
from jaxseg.models.folding import fold, folded, folded_network
from jaxseg.models.unet import network

Shapes = list[tuple[int, ...]]


@pytest.fixture(params=[True, False])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | None]:
    """JAX's cache in a folder of its own, and off."""
    former = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    chosen = tmp_path if request.param else None
    jax.config.update("jax_compilation_cache_dir", str(chosen) if chosen else None)
    yield chosen
    jax.config.update("jax_compilation_cache_dir", former)


def adding(traced: Shapes) -> Program[[jax.Array, jax.Array], dict[str, jax.Array]]:
    """Adds rows to a total, which it consumes."""

    def add(total: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
        traced.append(x.shape)
        return {"total": total + x.sum(0), "sum": x.sum()}

    return Program(add, "adds", lambda total, x: {"total": total, "sum": 0}, donate_argnums=0)


def test_prepared_and_called_it_is_traced_once_for_each_shape(cache: Path | None) -> None:
    traced: Shapes = []
    add, ones = adding(traced), jnp.ones((3, 2))
    for _ in range(2):
        add.prepare(jnp.zeros(2), ones)
        assert traced == [(3, 2)]
    for _ in range(2):
        for rows in (3, 2):
            total = jnp.zeros(2)
            found = add(total, ones[:rows])
            assert (found["total"].tolist(), float(found["sum"])) == ([rows, rows], 2 * rows)
            assert total.is_deleted()
    assert traced == [(3, 2), (2, 2)]
    assert len(list(cache.glob("*.traced")) if cache else []) == (2 if cache else 0)


def test_a_kept_trace_is_compiled_as_the_function_itself(cache: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(function: Callable[..., Any], numbers: Precision, **options: Any) -> Callable[..., Any]:
        asked.append((numbers, options))
        return compiled(function, numbers, **options)

    monkeypatch.setattr(program, "compiled", noted)
    rounding = precision("bfloat16")
    Program(jnp.sin, "sine", lambda x: x, rounding, gradients=True).prepare(jnp.zeros(2))
    assert asked == [(rounding, {"gradients": True})] * (2 if cache else 1)


def test_arrays_elsewhere_or_of_another_type_are_another_set() -> None:
    traced: Shapes = []
    add = adding(traced)
    for device in jax.devices()[:2]:
        total, ones = jax.device_put((jnp.zeros(2), jnp.ones((3, 2))), device)
        assert add(total, ones)["total"].devices() == {device}
    assert add(jnp.zeros(2), jnp.ones((3, 2), jnp.int32))["total"].tolist() == [3, 3]
    assert traced == [(3, 2)] * 3


def test_what_cannot_be_compiled_says_so() -> None:
    def add(x: jax.Array, y: jax.Array) -> jax.Array:
        return x + y

    with pytest.raises(TypeError, match="incompatible shapes"):
        Program(add, "", lambda x, _: x)(jnp.zeros(2), jnp.zeros(3))


def test_folding_gives_the_structure_that_is_foretold() -> None:
    config = ModelConfig(50, 1 / 16)
    net = network(config)
    found = jax.eval_shape(fold, net.params, net.stats)
    assert jax.tree.structure(found) == jax.tree.structure(folded(net.params))
    assert jax.tree.structure(found) == jax.tree.structure(folded_network(config).params)


def test_the_compilers_holes_are_filled_once_for_each_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr(first_touch, "end", lambda: done.append("touched memory freed"))
    monkeypatch.setattr(heap, "fill_holes", lambda: done.append("holes filled"))
    add = adding([])
    for _ in range(2):
        add(jnp.zeros(2), jnp.ones((3, 2)))
    assert done == ["touched memory freed", "holes filled"]
    add(jnp.zeros(2), jnp.ones((4, 2)))
    assert done == ["touched memory freed", "holes filled"] * 2
