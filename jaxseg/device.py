"""What depends on the kind of device that computes; decided here and nowhere else."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

# XLA's newer library for CPUs, YNNPACK, is left the sums alone: on convolutions and products of matrices Eigen is
# faster by up to four times (the gradient of a 3x3 kernel on wide maps; docs/speed.md).
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


def on_cpu() -> bool:
    """Whether the CPU is what computations run on."""
    return jax.default_backend() == "cpu"


def as_dtype(name: str) -> DTypeLike:
    """The compute dtype of a recipe; "auto" takes bfloat16 on accelerators and float32 on CPUs."""
    if name == "auto":
        return jnp.float32 if on_cpu() else jnp.bfloat16
    return jnp.dtype(name)


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jax.jit` with the compiler's options for the device; `options` are those of `jax.jit`."""
    return jax.jit(function, compiler_options=_understood() or None, **options)


@functools.cache
def _understood() -> dict[str, str]:
    """The options, if this version of XLA knows them: they are not a public interface."""
    if not on_cpu():
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return CPU_OPTIONS
