"""What is chosen by the kind of device."""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import pytest

from jaxseg.compute import device
from jaxseg.errors import DeviceError


def test_on_a_cpu_all_is_float32_unless_asked() -> None:
    assert device.on_cpu()
    assert device.precision("auto") == device.precision("float32") == device.FLOAT32


def test_a_cpu_rounds_only_what_it_multiplies() -> None:
    assert device.precision("bfloat16") == (jnp.float32, jnp.bfloat16)


def test_accelerators_compute_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert device.precision("auto") == device.precision("bfloat16") == (jnp.bfloat16, jnp.bfloat16)
    assert device._compiler_options(device.precision("auto"), gradients=True) == {}


@pytest.mark.parametrize(("backend", "waits"), [("cpu", True), ("gpu", False)])
def test_only_a_cpu_is_waited_for(backend: str, waits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Result:
        ready = False

        def block_until_ready(self) -> None:
            self.ready = True

    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    slept: list[float] = []
    monkeypatch.setattr(device.time, "sleep", slept.append)
    result = Result()
    assert device.one_at_a_time(result, 0.25) is result
    assert result.ready == waits
    assert slept == [0.25] * waits
    assert device.one_at_a_time(None) is None


def test_this_xla_knows_the_options() -> None:
    for parts in ((device.SUMS,), (device.SUMS, device.PRODUCTS), (device.SUMS, device.PRODUCTS, device.CONVOLUTIONS)):
        library = ",".join(parts)
        assert device._understood(device.LIBRARY, library) == {device.LIBRARY: library}


@pytest.mark.parametrize(
    ("amd", "gradients", "cores", "by_ynnpack"),
    [
        (True, True, 2, True),
        (True, False, 2, False),
        (True, False, 1, True),
        (True, True, 3, False),
        (False, True, 1, False),
    ],
)
def test_ynnpack_convolves_where_it_is_faster(
    amd: bool, gradients: bool, cores: int, by_ynnpack: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.processor, "is_amd_with_avx512", lambda: amd)
    monkeypatch.setattr(device.host, "usable_cores", lambda: cores)
    x, kernel = jnp.arange(2 * 9 * 9 * 8.0).reshape(2, 9, 9, 8) / 1000, jnp.arange(9 * 8 * 32.0).reshape(3, 3, 8, 32)
    convolution = device.compiled(
        functools.partial(jax.lax.conv, window_strides=(1, 1), padding="VALID"), gradients=gradients
    )
    program = convolution.lower(x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)).compile().as_text()
    assert ("__ynn_fusion" in program) == by_ynnpack


@pytest.mark.parametrize(
    ("amd", "cores", "outputs", "idle"),
    [(True, 2, 64, True), (True, 2, 65, False), (True, 1, 8, False), (True, 3, 8, False), (False, 2, 8, False)],
)
def test_cores_that_ynnpack_would_leave_idle(
    amd: bool, cores: int, outputs: int, idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.processor, "is_amd_with_avx512", lambda: amd)
    monkeypatch.setattr(device.host, "usable_cores", lambda: cores)
    assert device.leaves_cores_idle(outputs) == idle


def test_an_xla_that_does_not_know_the_options_still_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device._understood(device.LIBRARY, "NO_SUCH_KIND") == {}
    monkeypatch.setattr(device, "LIBRARY", "xla_cpu_no_such_option")
    assert device._compiler_options(device.FLOAT32, gradients=True) == {}
    assert device.compiled(lambda x: x + 1)(jnp.ones(())) == 2


@pytest.fixture
def platforms() -> Iterator[Callable[[str | None], None]]:
    """Sets what JAX_PLATFORMS had said."""
    former = jax.config.jax_platforms
    yield functools.partial(jax.config.update, "jax_platforms")
    jax.config.update("jax_platforms", former)


@pytest.mark.parametrize(
    ("asked", "seen", "problem"),
    [
        (None, (), None),
        (None, ("0", "1"), "cannot use this host's GPUs\n  found:    0, 1"),
        ("cpu", ("0",), None),
        ("cuda,cpu", (), "found no device for 'cuda'"),
    ],
)
def test_a_cpu_that_nobody_asked_for_is_refused(
    asked: str | None,
    seen: tuple[str, ...],
    problem: str | None,
    platforms: Callable[[str | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device.gpus, "visible", lambda: seen)
    platforms(asked)
    if problem is None:
        device.check_platform()
        return
    with pytest.raises(DeviceError, match=problem):
        device.check_platform()


def test_a_device_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_backend() -> str:
        raise RuntimeError("Unable to initialize backend 'cuda': no driver")

    monkeypatch.setattr(jax, "default_backend", no_backend)
    with pytest.raises(DeviceError, match=r"no driver(.|\n)*doctor"):
        device.check_platform()
