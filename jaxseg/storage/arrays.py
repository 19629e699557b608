"""Trees of arrays on disk: Orbax checkpoints with a digest, written aside, read back, then renamed.

Orbax restores flipped bits without a word and reports a save on a full disk as done; so each checkpoint carries the
SHA-256 of its arrays, which is checked before it gets its name and whenever it is opened. Orbax is given the small ones
as one vector, whose parts the manifest names (`jaxseg.storage.gathering`).
"""

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxseg.compute.device import backend
from jaxseg.errors import InputError
from jaxseg.files import new_folder, of_system, read_value, unreadable, write_json
from jaxseg.storage.gathering import GATHERED, Tree, gather, spread

MANIFEST = "manifest.json"


def digest(tree: Tree) -> str:
    """Hex SHA-256 over the names, types, shapes and bytes of all leaves."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf, order="C")
        total.update(_heading(path, array.dtype, array.shape))
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


@functools.lru_cache(maxsize=4096)  # putting names in writing takes longer than the sum over a small net's numbers
def _heading(path: tuple[Any, ...], dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    return f"{jax.tree_util.keystr(path)} {dtype} {shape};".encode()


def save(folder: Path, tree: Tree, about: dict[str, Any] | None = None) -> str:
    """Write `tree` as `folder` and return its digest; `about` is JSON kept beside it.

    Whatever stands at `folder` is replaced, and only by a checkpoint that was read back and found equal.
    """
    from jaxseg.storage import orbax_io  # which a process that has nothing to save yet need not import

    host = jax.tree.map(np.asarray, tree)
    expected = digest(host)
    parts, index = gather(host)
    with new_folder(folder) as aside:
        with _system_errors():
            orbax_io.write(aside.absolute() / "arrays", parts)
        write_json(aside / MANIFEST, {"sha256": expected, "about": about or {}, GATHERED: index})
        load(aside)
    return expected


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    """TensorStore reports a full disk and the like as a ValueError that quotes the system's error number."""
    try:
        yield
    except ValueError as error:
        number = re.search(r"os_error_code='(\d+)'", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def _of_system(error: BaseException | None) -> OSError | None:
    """The system's error among those that led to this one, unless it tells of what lies there."""
    while error is not None:
        if of_system(error):
            return error
        error = error.__cause__ or error.__context__
    return None


def load(folder: Path, like: Tree | None = None, remedy: str | None = None) -> tuple[Tree, dict[str, Any]]:
    """Read a checkpoint as NumPy arrays, with what was kept about it.

    Args:
        folder: written by `save`.
        like: tree of shapes that the checkpoint must have.
        remedy: of a damaged one.

    Raises:
        DeviceError: JAX, without which Orbax reads nothing, cannot use its device.
        UnreadableError: the system does not let us read it.
        InputError: missing, damaged, or of other shapes.
    """
    from jaxseg.storage import orbax_io

    backend()
    remedy = remedy or f"delete {folder} and repeat the command that wrote it"
    manifest = read_value(folder / MANIFEST, _manifest, what="a checkpoint's manifest", remedy=remedy)
    try:
        with _system_errors():
            tree = orbax_io.read((folder / "arrays").absolute())
        if GATHERED in manifest:  # the first checkpoints have every array by itself
            tree = spread(tree, manifest[GATHERED])
        found = digest(tree)
    except MemoryError:
        raise  # no fault of the files
    except Exception as error:  # Orbax and TensorStore raise many types for damaged files
        if (of_system := _of_system(error)) is not None:
            raise unreadable(folder, of_system) from error
        raise InputError(f"cannot be read: {error!r}", file=folder, remedy=remedy) from error
    if found != manifest["sha256"]:
        raise InputError("is damaged", file=folder, found=found, expected=manifest["sha256"], remedy=remedy)
    if like is not None:
        check_shapes(tree, like, folder)
    return tree, manifest["about"]


def _manifest(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value["sha256"], str) or not isinstance(value["about"], dict):
        raise ValueError(f"sha256 and about must be a text and an object, not {value['sha256']} and {value['about']}")
    return value


def check_shapes(tree: Tree, like: Tree, file: Path) -> None:
    """`InputError` naming the first leaves that are missing, surplus or of another shape."""
    found, expected = shapes(tree), shapes(like)
    wrong = [name for name in sorted(found | expected) if found.get(name) != expected.get(name)]
    if wrong:
        raise InputError(
            f"does not fit the model in {len(wrong)} tensors",
            file=file,
            found="; ".join(f"{name} {found.get(name, 'missing')}" for name in wrong[:5]),
            expected="; ".join(f"{name} {expected.get(name, 'nothing')}" for name in wrong[:5]),
            remedy="use weights of the same depth and width as the model",
        )


def shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
    """Flat view: path such as "encoder/stem/conv/kernel" -> shape."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}
