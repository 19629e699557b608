"""Functions as they were traced, kept on disk, so that a next process need not trace them again.

JAX's own cache (`jaxseg.execution.compile_cache`) spares a process the compiler, but not the tracing, without which it
would not know what to ask that cache for: a second, for a step of a ResNet50. What a trace gives follows from this
package's source, the versions of what it calls, JAX's options, the kind of device, and what it is made from and called
with; a file is named after all of these. It lies beside those of JAX's cache, in the format of `jax.export`.
Compiled functions are not kept: one that came from JAX's cache can be written once more, but then lacks parts when it
runs (jaxlib 0.10.2, CPUs).
"""

import contextlib
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax import export

from jaxseg.compute.lock import turn
from jaxseg.errors import InputError
from jaxseg.files import write_bytes

KEPT = 256  # files, those used last
PATIENCE = 600  # seconds for another process to compile
SUFFIX = ".traced"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


@contextlib.contextmanager
def traced(
    function: Callable[..., Any], about: object, arguments: tuple[Any, ...], out_shardings: Any = None
) -> Iterator[export.Exported | None]:
    """A function from the leaves of `arguments` to those of its result, as an earlier process kept it, or traced now.

    What is traced now is kept when the block, which has to compile it, has ended without an error; until then, other
    processes that ask for it wait: they find it compiled in JAX's cache, and do not compete for cores, or for a GPU
    that tries kernels out.

    None where JAX's cache is off, where several processes compute together, and where JAX cannot export the function.

    Args:
        function: of trees of arrays.
        about: what the function was made from; with the source of this package, its `repr` tells what it does.
        arguments: trees of `jax.ShapeDtypeStruct`.
        out_shardings: as for `jax.jit`.
    """
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined, unused-ignore]
    if not folder or jax.process_count() > 1:
        yield None
        return
    leaves, structure = jax.tree.flatten(arguments)
    file = Path(folder) / f"{_key(function, about, leaves, structure)}{SUFFIX}"
    with contextlib.ExitStack() as held:
        found = _read(file)
        if found is None:
            held.enter_context(turn(file.with_suffix(".lock"), PATIENCE))
            found = _read(file)
        if found is not None:
            held.close()
            yield found
            return
        # JAX does not promise to export all that it can compile.
        with contextlib.suppress(ValueError, NotImplementedError):
            found = export.export(jax.jit(_flat(function, structure), out_shardings=out_shardings))(*leaves)
        yield found
        if found is not None:
            _write(file, found)


def _flat(function: Callable[..., Any], structure: Any) -> Callable[..., list[Any]]:
    """The function from leaves to leaves: `jax.export` knows no types of this package."""

    def flat(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(function(*jax.tree.unflatten(structure, leaves)))

    return flat


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


def _write(file: Path, found: export.Exported) -> None:
    """Where it cannot be written, as on a full disk, only time is lost."""
    with contextlib.suppress(InputError, OSError):
        content = bytes(found.serialize())
        write_bytes(file, hashlib.sha256(content).digest() + content)
        for former in sorted(file.parent.glob(f"*{SUFFIX}"), key=os.path.getmtime)[:-KEPT]:
            former.unlink(missing_ok=True)


def _key(function: Callable[..., Any], about: object, leaves: list[Any], structure: Any) -> str:
    """Hex SHA-256 over all that tracing depends on."""
    parts = [
        SOURCE,
        sorted((name, importlib.metadata.version(name)) for name in PACKAGES),
        sys.version,
        sorted((name, repr(value)) for name, value in jax.config.values.items()),
        (jax.default_backend(), jax.device_count()),
        (function.__module__, function.__qualname__, about),
        structure,
        [(leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves],
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _source() -> str:
    """Digest of this package's modules, names and contents."""
    root = Path(__file__).parents[1]
    total = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        total.update(f"{file.relative_to(root)} {hashlib.sha256(file.read_bytes()).hexdigest()};".encode())
    return total.hexdigest()


SOURCE = _source()  # at once: what is imported need not be what lies on the disk by the first trace
