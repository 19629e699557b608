"""Compiling in the background, while the same process draws or reads what it will compute with."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jaxseg.training.beside import beside


@contextlib.contextmanager
def compiling(function: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Compile a jitted function beside the block; when the block ends, the function is ready to be called.

    Args:
        arguments: arrays, or `jax.ShapeDtypeStruct`s with their shardings, such as it will be called with.
    """
    leaves, structure = jax.tree.flatten(jax.tree.map(_shape, arguments))
    with beside("compile") as start:
        start(lambda: _compile(function, structure, tuple(leaves)))
        yield


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None))


@functools.cache  # the next run of a warm worker finds all of it done
def _compile(function: Any, structure: Any, leaves: tuple[jax.ShapeDtypeStruct, ...]) -> None:
    function.lower(*jax.tree.unflatten(structure, leaves)).compile()
