"""Parameters and statistics as a training state holds them: all vectors as one.

A U-Net has some sixty kernels and a hundred and thirty vectors, the scales and biases of its normalisations, and as
many running statistics. A step of Adam on each vector by itself would take an accelerator more launches than all of its
convolutions, and each array that is handed to a compiled step and taken back costs time on the host.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxseg.models.unet import HEAD
from jaxseg.storage.arrays import Tree

VECTORS, KERNELS = "vectors", "kernels"

Kernels = dict[str, Array]  # by path, such as "encoder/stem/conv/kernel"


@dataclass(frozen=True)
class Layout:
    """What a packed tree was.

    Attributes:
        structure: of the tree. names, shapes: of its leaves, in order.
    """

    structure: Any
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, tree: Tree) -> Self:
        leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
        names = tuple(jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves)
        return cls(structure, names, tuple(tuple(leaf.shape) for _, leaf in leaves))


@functools.partial(jax.tree_util.register_dataclass, data_fields=[VECTORS, KERNELS], meta_fields=["layout"])
@dataclass(frozen=True)
class Packed:
    """A tree of arrays, none of which is a number, in few leaves; NumPy's, JAX' or shapes.

    Attributes:
        vectors: (n,), all leaves of one axis, one after the other.
        kernels: the other leaves by path.
    """

    vectors: Any
    kernels: Kernels
    layout: Layout

    @classmethod
    def of(cls, tree: Tree) -> Self:
        """Packed on the host where all arrays of one axis are NumPy's, else by JAX."""
        layout, leaves = Layout.of(tree), jax.tree.leaves(tree)
        some = [leaf for leaf in leaves if leaf.ndim == 1]
        on_host = all(isinstance(leaf, np.ndarray) for leaf in some)
        vectors: Any = np.concatenate(some) if on_host else jnp.concatenate(some)
        kernels = {name: leaf for name, leaf in zip(layout.names, leaves, strict=True) if leaf.ndim > 1}
        return cls(vectors, kernels, layout)

    def tree(self) -> Tree:
        """The tree again; on the host its vectors are views of `vectors`."""
        shapes = dict(zip(self.layout.names, self.layout.shapes, strict=True))
        ends = np.cumsum([shape[0] for shape in shapes.values() if len(shape) == 1])
        split = np.split if isinstance(self.vectors, np.ndarray) else jnp.split
        vectors = iter(split(self.vectors, ends[:-1]))
        leaves = [next(vectors) if len(shape) == 1 else self.kernels[name] for name, shape in shapes.items()]
        return jax.tree.unflatten(self.layout.structure, leaves)

    def rounded_kernels(self, dtype: DTypeLike) -> Kernels:
        """Those kernels, in the compute dtype, that are not computed with as they are; the head's is, in float32."""
        return {
            name: kernel.astype(dtype)
            for name, kernel in self.kernels.items()
            if kernel.dtype != dtype and not name.startswith(f"{HEAD}/")
        }

    def with_kernels(self, kernels: Kernels) -> Self:
        """With some of the kernels replaced."""
        return dataclasses.replace(self, kernels={**self.kernels, **kernels})
