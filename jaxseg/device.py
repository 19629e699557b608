"""What depends on the kind of device that computes; decided here and nowhere else."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxseg.errors import UsageError

# XLA's newer library for CPUs, YNNPACK, is left the sums, and products of bfloat16 where a program has them: on
# convolutions and products of float32 Eigen is faster by up to four times (the gradient of a 3x3 kernel on wide maps;
# docs/speed.md).
LIBRARY = "xla_cpu_experimental_ynn_fusion_type"
SUMS, PRODUCTS = "LIBRARY_FUSION_TYPE_REDUCE", "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"


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
    """`UsageError` where JAX_PLATFORMS puts another device first than JAX found.

    JAX passes over "cuda" without a word where the system shows no NVIDIA device, as in a container without them.
    """
    first = (jax.config.jax_platforms or "").split(",")[0]  # type: ignore[attr-defined]
    if first not in ("", "cpu") and on_cpu():
        raise UsageError(
            f"JAX found no device for {first!r}, which JAX_PLATFORMS asks for",
            remedy="python launch/doctor.py tells more; or compute on the CPU: --gpus none",
        )


def precision(compute_dtype: str) -> Precision:
    """What a recipe's compute dtype asks for; "auto" takes bfloat16 on accelerators and float32 on CPUs.

    In bfloat16 a CPU keeps the maps in float32 and rounds only what it multiplies, since it multiplies bfloat16 faster,
    and all else slower.
    """
    automatic = jnp.float32 if on_cpu() else jnp.bfloat16
    kernels = jnp.dtype(automatic if compute_dtype == "auto" else compute_dtype)
    mixed = on_cpu() and kernels == jnp.bfloat16
    return Precision(jnp.dtype(jnp.float32) if mixed else kernels, kernels)


def compiled(function: Callable[..., Any], precision: Precision = FLOAT32, **options: Any) -> Callable[..., Any]:
    """`jax.jit` with the compiler's options for the device; `options` are those of `jax.jit`."""
    library = f"{SUMS},{PRODUCTS}" if precision.mixed else SUMS
    return jax.jit(function, compiler_options=_understood(library) or None, **options)


@functools.cache
def _understood(library: str) -> dict[str, str]:
    """The options, if this version of XLA knows them: they are not a public interface."""
    options = {LIBRARY: library}
    if not on_cpu():
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options
