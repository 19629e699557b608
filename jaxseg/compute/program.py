"""Functions compiled once for each set of shapes, by way of what an earlier process kept of tracing them."""

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import jax
from jax.stages import Compiled

from jaxseg.compute import first_touch, heap, traces
from jaxseg.compute.device import FLOAT32, Precision, compiled, on_cpu

P = ParamSpec("P")
R = TypeVar("R")


class Program(Generic[P, R]):
    """A function of arrays, called like what `jax.jit` gives of it.

    Attributes:
        jitted: what `jax.jit` gives of it.
    """

    def __init__(
        self,
        function: Callable[P, R],
        about: object,
        result: Callable[P, Any],
        precision: Precision = FLOAT32,
        **options: Any,
    ) -> None:
        """Nothing is traced or compiled yet.

        Args:
            function: takes trees of arrays, by position.
            about: what the function was made from; its `repr` tells, with the source of this package, what it does.
            result: of the same arguments, a tree of the structure of what the function gives.
            precision: that the function computes with.
            options: those of `jaxseg.compute.device.compiled`.
        """
        self._function, self._about, self._result = function, about, result
        self._precision, self._options = precision, options
        self._ready: dict[Any, Compiled] = {}
        self.jitted: Any = compiled(function, precision, **options)

    def __call__(self, *arguments: P.args, **_: P.kwargs) -> R:
        return self.prepare(*arguments)(*arguments)

    def prepare(self, *arguments: Any) -> Compiled:
        """What is called with such arguments: arrays, or `jax.ShapeDtypeStruct`s with their shardings."""
        leaves, structure = jax.tree.flatten(arguments)
        kinds = tuple((leaf.shape, leaf.dtype, getattr(leaf, "sharding", None)) for leaf in leaves)
        if (structure, kinds) not in self._ready:
            shapes = [jax.ShapeDtypeStruct(shape, dtype, sharding=place) for shape, dtype, place in kinds]
            self._ready[structure, kinds] = self._compiled(jax.tree.unflatten(structure, shapes))
            first_touch.end()
            if on_cpu():
                heap.fill_holes()
        return self._ready[structure, kinds]

    def _compiled(self, shapes: tuple[Any, ...]) -> Compiled:
        about = self._about, self._precision, self._options
        with traces.traced(self._function, about, shapes, self._options.get("out_shardings")) as traced:
            if traced is None:
                return self.jitted.lower(*shapes).compile()
            structure = jax.tree.structure(self._result(*shapes))  # type: ignore[call-arg]

            def called(*arguments: Any) -> Any:
                return jax.tree.unflatten(structure, traced.call(*jax.tree.leaves(arguments)))

            called.__name__ = self._function.__name__
            jitted: Any = compiled(called, self._precision, **self._options)
            return jitted.lower(*shapes).compile()
