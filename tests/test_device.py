"""What is chosen by the kind of device."""

import jax
import jax.numpy as jnp
import pytest

from jaxseg import device


def test_on_a_cpu_all_is_float32_unless_asked() -> None:
    assert device.on_cpu()
    assert device.precision("auto") == device.precision("float32") == device.FLOAT32


def test_a_cpu_rounds_only_what_it_multiplies() -> None:
    assert device.precision("bfloat16") == (jnp.float32, jnp.bfloat16)


def test_accelerators_compute_in_bfloat16_without_options_for_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    device._understood.cache_clear()
    assert device.precision("auto") == device.precision("bfloat16") == (jnp.bfloat16, jnp.bfloat16)
    assert device._understood(device.SUMS) == {}
    device._understood.cache_clear()


def test_this_xla_knows_the_options() -> None:
    for library in (device.SUMS, f"{device.SUMS},{device.PRODUCTS}"):
        assert device._understood(library) == {device.LIBRARY: library}


def test_an_xla_that_does_not_know_the_options_still_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "LIBRARY", "xla_cpu_no_such_option")
    device._understood.cache_clear()
    assert device._understood(device.SUMS) == {}
    assert device.compiled(lambda x: x + 1)(jnp.ones(())) == 2
    device._understood.cache_clear()
