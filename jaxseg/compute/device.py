"""What depends on the kind of device that computes; decided here and nowhere else."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxseg.compute import gpus, host, processor
from jaxseg.errors import DeviceError

T = TypeVar("T")

# What XLA's newer library for CPUs, YNNPACK, computes in place of Eigen and XLA itself.
LIBRARY = "xla_cpu_experimental_ynn_fusion_type"
SUMS, PRODUCTS = "LIBRARY_FUSION_TYPE_REDUCE", "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
CONVOLUTIONS = "LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"
MOST_CORES = 2  # for which YNNPACK may convolve
OUTPUTS_OF_A_CORE = 64  # that YNNPACK gives each at least
PAUSE = 0.001  # seconds between two training steps on a CPU, for the former to give back its memory
ON_CPU = "python launch/doctor.py tells more; or compute on the CPU: JAX_PLATFORMS=cpu, for a sweep --gpus none"


class Precision(NamedTuple):
    """What a network computes with: dtype of its maps, and of the kernels they are multiplied with."""

    maps: DTypeLike = jnp.float32
    kernels: DTypeLike = jnp.float32

    @property
    def mixed(self) -> bool:
        return self.maps != self.kernels


FLOAT32 = Precision()


def on_cpu() -> bool:
    """Whether the CPU is what computations run on."""
    return jax.default_backend() == "cpu"


def check_platform() -> None:
    """`DeviceError` where JAX computes on the CPU though JAX_PLATFORMS asks for another device, or the host has GPUs.

    JAX passes over "cuda" without a word where the system shows no NVIDIA device, as in a container without them, and
    with a warning where its plugin finds no driver or libraries that suit it.
    """
    first = (jax.config.jax_platforms or "").split(",")[0]  # type: ignore[attr-defined, unused-ignore]
    if backend() != "cpu" or first == "cpu":
        return
    if first:
        raise DeviceError(f"JAX found no device for {first!r}, which JAX_PLATFORMS asks for", remedy=ON_CPU)
    if seen := gpus.visible():
        raise DeviceError("JAX cannot use this host's GPUs", found=", ".join(seen), remedy=ON_CPU)


def backend() -> str:
    """What JAX computes on: "cpu", "gpu" or "tpu"; `DeviceError` where it cannot use what JAX_PLATFORMS asks for."""
    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # the latter where the platform's plugin is not installed
        found = f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}"
        raise DeviceError(f"JAX cannot use its device: {error!r}", found=found, remedy=ON_CPU) from error


def precision(compute_dtype: str) -> Precision:
    """What a recipe's compute dtype asks for; "auto" takes bfloat16 on accelerators and float32 on CPUs.

    In bfloat16 a CPU keeps the maps in float32 and rounds only what it multiplies, since it multiplies bfloat16 faster,
    and all else slower.
    """
    automatic = jnp.float32 if on_cpu() else jnp.bfloat16
    kernels = jnp.dtype(automatic if compute_dtype == "auto" else compute_dtype)
    mixed = on_cpu() and kernels == jnp.bfloat16
    return Precision(jnp.dtype(jnp.float32) if mixed else kernels, kernels)


def compiled(
    function: Callable[..., Any], precision: Precision = FLOAT32, *, gradients: bool = False, **options: Any
) -> Callable[..., Any]:
    """`jax.jit` with the compiler's options for the device.

    Args:
        function: see `jax.jit`.
        precision: that it computes with.
        gradients: whether it computes gradients, as a training step does.
        options: those of `jax.jit`.
    """
    return jax.jit(function, compiler_options=_compiler_options(precision, gradients) or None, **options)


def one_at_a_time(result: T, pause: float = 0.0) -> T:
    """What a program gives; on CPUs once it is there, so that the next program is handed over after it.

    On CPUs XLA gives each program memory of its own when it begins, which may be before the one before has given its
    back, and carries out side by side those that do not wait for each other: training steps then take the memory of
    two, and in time of many, since the C library cannot always give out again what it got back (docs/speed.md). An
    accelerator gets its programs ahead of time and carries out one after the other.

    Args:
        result: arrays, or None.
        pause: seconds to wait besides, for the memory, which is given back a little later than the result.
    """
    if on_cpu():
        jax.block_until_ready(result)
        time.sleep(pause)
    return result


def convolves_by_library() -> bool:
    """Whether YNNPACK is left the convolutions of some programs, which it does well with 64 outputs and more."""
    return on_cpu() and processor.is_amd_with_avx512() and host.usable_cores() <= MOST_CORES


def leaves_cores_idle(outputs: int) -> bool:
    """Whether YNNPACK would be left a convolution to so many outputs and not use all cores for it."""
    return convolves_by_library() and outputs <= OUTPUTS_OF_A_CORE * (host.usable_cores() - 1)


def _by_library(precision: Precision, gradients: bool) -> tuple[str, ...]:
    """What YNNPACK is left because the whole is faster then than with Eigen (docs/speed.md).

    Sums, and products of bfloat16, everywhere. On AMD's processors with AVX-512 all products and convolutions of a
    training step on one core or two (but see `leaves_cores_idle`), and of predicting on one: on two, Eigen is faster
    there. With more it was not measured, but YNNPACK gives a core 64 outputs of a convolution at least, so most of
    them would wait. On Intel's Eigen was faster by up to four times, at the gradient of a 3x3 kernel on wide maps.
    """
    if precision.mixed:
        return SUMS, PRODUCTS
    whole = convolves_by_library() and (gradients or host.usable_cores() == 1)
    return (SUMS, PRODUCTS, CONVOLUTIONS) if whole else (SUMS,)


def _compiler_options(precision: Precision, gradients: bool) -> dict[str, str]:
    return _understood(LIBRARY, ",".join(_by_library(precision, gradients))) if on_cpu() else {}


@functools.cache
def _understood(option: str, value: str) -> dict[str, str]:
    """The option, if this version of XLA knows it: they are not a public interface."""
    options = {option: value}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options
