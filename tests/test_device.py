"""What is chosen by the kind of device."""

import jax
import jax.numpy as jnp
import pytest

from jaxseg import device


def test_on_a_cpu_all_is_float32_unless_asked() -> None:
    assert device.on_cpu()
    assert device.as_dtype("auto") == jnp.float32
    assert device.as_dtype("bfloat16") == jnp.bfloat16


def test_accelerators_compute_in_bfloat16_without_options_for_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    device._understood.cache_clear()
    assert device.as_dtype("auto") == jnp.bfloat16
    assert device._understood() == {}
    device._understood.cache_clear()


def test_this_xla_knows_the_options() -> None:
    assert device._understood() == device.CPU_OPTIONS


def test_an_xla_that_does_not_know_the_options_still_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "CPU_OPTIONS", {"xla_cpu_no_such_option": "1"})
    device._understood.cache_clear()
    assert device._understood() == {}
    assert device.compiled(lambda x: x + 1)(jnp.ones(())) == 2
    device._understood.cache_clear()
