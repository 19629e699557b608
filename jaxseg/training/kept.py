"""A training step as it was traced, kept on disk, so that a next process need not trace it again.

JAX's own cache (`jaxseg.execution.compile_cache`) spares a process the compiler, but not the tracing, without which it
would not know what to ask that cache for: a second, for a ResNet50. What a trace gives follows from this package's
source, the versions of what it calls, JAX's options, the kind of device, and what it is made from and called with; a
file is named after all of these. It lies beside those of JAX's cache, in the format of `jax.export`.
Compiled steps are not kept: one that came from JAX's cache can be written once more, but then lacks parts when it runs
(jaxlib 0.10.2, CPUs).
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax import export
from jax.stages import Compiled

import jaxseg
from jaxseg.device import FLOAT32, Precision, compiled
from jaxseg.errors import InputError
from jaxseg.files import write_bytes

KEPT = 64  # files, those used last
SUFFIX = ".traced"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


def compiled_step(step: Any, about: object, arguments: tuple[Any, ...], precision: Precision = FLOAT32) -> Compiled:
    """A jitted `step` compiled for `arguments`, from what an earlier process kept of it, or keeping it for a later one.

    Nothing is read or kept where JAX's cache is off, or where several processes compute together.

    Args:
        step: (state, ...) -> (state, loss); it consumes the state and puts both where the state lay.
        about: what the step was made from; with the source of this package, its `repr` tells what the step does.
        arguments: trees of `jax.ShapeDtypeStruct`.
        precision: that `step` was jitted for.
    """
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if not folder or jax.process_count() > 1:
        return step.lower(*arguments).compile()
    leaves, structure = jax.tree.flatten(arguments)
    file = Path(folder) / f"{_key(step, about, leaves, structure)}{SUFFIX}"
    traced = _read(file)
    if traced is None:
        try:
            traced = export.export(_flat(step.__wrapped__, leaves, structure))(*leaves)
        except (ValueError, NotImplementedError):  # JAX does not promise to export all that it can compile
            return step.lower(*arguments).compile()
        _write(file, traced)
    result = jax.tree.structure((arguments[0], "loss"))

    def traced_step(*arguments: Any) -> Any:
        return jax.tree.unflatten(result, traced.call(*jax.tree.leaves(arguments)))

    jitted: Any = compiled(traced_step, precision, donate_argnums=0, out_shardings=leaves[0].sharding)
    return jitted.lower(*arguments).compile()


def _flat(step: Callable[..., Any], leaves: list[Any], structure: Any) -> Any:
    """The step from leaves to leaves: `jax.export` knows no types of this package."""

    def flat(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(step(*jax.tree.unflatten(structure, leaves)))

    return compiled(flat, out_shardings=leaves[0].sharding)


def _read(file: Path) -> export.Exported | None:
    """None where there is none, or one that is damaged, however that shows."""
    try:
        content = file.read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return None
        os.utime(file)
        return export.deserialize(bytearray(content[32:]))
    except Exception:
        return None


def _write(file: Path, traced: export.Exported) -> None:
    """Where it cannot be written, as on a full disk, only time is lost."""
    with contextlib.suppress(InputError, OSError):
        content = bytes(traced.serialize())
        write_bytes(file, hashlib.sha256(content).digest() + content)
        for former in sorted(file.parent.glob(f"*{SUFFIX}"), key=os.path.getmtime)[:-KEPT]:
            former.unlink(missing_ok=True)


def _key(step: Any, about: object, leaves: list[Any], structure: Any) -> str:
    """Hex SHA-256 over all that tracing depends on."""
    parts = [
        _source(),
        sorted((name, importlib.metadata.version(name)) for name in PACKAGES),
        sys.version,
        sorted((name, repr(value)) for name, value in jax.config.values.items()),
        jax.default_backend(),
        (step.__module__, step.__qualname__, about),
        structure,
        [(leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves],
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@functools.cache
def _source() -> str:
    """Digest of this package's modules, names and contents."""
    root = Path(jaxseg.__file__).parent
    total = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        total.update(f"{file.relative_to(root)} {hashlib.sha256(file.read_bytes()).hexdigest()};".encode())
    return total.hexdigest()
