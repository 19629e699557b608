"""Compiling in the background, while the same process draws or reads what it will compute with."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import jax
from jax.stages import Compiled

from jaxseg.device import FLOAT32, Precision
from jaxseg.training import kept
from jaxseg.training.beside import beside


class Step:
    """A jitted step, called like it, that is compiled by way of `jaxseg.training.kept`, once for each set of shapes.

    The shapes of all arguments but the first tell the sets apart: a step's state is always of one shape.
    """

    def __init__(self, step: Any, about: object, precision: Precision) -> None:
        self._step, self._about, self._precision = step, repr(about), precision
        self._programs: dict[tuple[tuple[int, ...], ...], Compiled] = {}

    def __call__(self, *arguments: Any) -> Any:
        program = self._programs.get(_shapes(arguments))
        return (program or self.prepare(arguments))(*arguments)

    def prepare(self, arguments: tuple[Any, ...]) -> Compiled:
        leaves, structure = jax.tree.flatten(jax.tree.map(_shape, arguments))
        program = _program(self._step, self._about, self._precision, structure, tuple(leaves))
        self._programs[_shapes(arguments)] = program
        return program


@contextlib.contextmanager
def compiling(step: Any, about: object, *arguments: Any, precision: Precision = FLOAT32) -> Iterator[Step]:
    """Compile a jitted step beside the block; when the block ends, what it yields is ready to be called.

    Args:
        step, about, precision: see `jaxseg.training.kept.compiled_step`.
        arguments: arrays, or `jax.ShapeDtypeStruct`s with their shardings, such as it will be called with.
    """
    ready = Step(step, about, precision)
    with beside("compile") as start:
        start(lambda: ready.prepare(arguments))
        yield ready


def _shapes(arguments: tuple[Any, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(leaf.shape for leaf in jax.tree.leaves(arguments[1:]))


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None))


@functools.cache  # the next run of a warm worker finds all of it done
def _program(
    step: Any, about: str, precision: Precision, structure: Any, leaves: tuple[jax.ShapeDtypeStruct, ...]
) -> Compiled:
    return kept.compiled_step(step, about, jax.tree.unflatten(structure, leaves), precision)
