"""Weight files -> {name: array}, safely: nothing in a file is executed, nothing larger than the file is built."""

import contextlib
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxseg.errors import InputError
from jaxseg.wording import counted
from weights_convert import pickles
from weights_convert.extra import check_torch

MOST_TENSORS = 20_000
SAFETENSORS_TYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
DEEPEST = 6  # nested dictionaries
AGAIN = "get the file again, and compare its size and SHA-256 with what its publisher states"


def read(file: Path) -> dict[str, np.ndarray]:
    """Tensors of a .pth, .pt, .torch, .pth.tar, .ckpt, .bin or .safetensors file, whatever it is called.

    Names in nested dictionaries are joined by "/", for instance "state_dict/module.conv1.weight". The arrays are views
    of the file where its format allows that: copy what should outlive it. bfloat16 is widened to float32.

    Raises:
        InputError: not such a file, damaged, or it asks for more than tensors.
        UsageError: PyTorch is needed and missing.
    """
    kind = _kind(file)
    tensors = _read_safetensors(file) if kind == "safetensors" else _read_torch(file, kind)
    if not tensors:
        raise InputError("holds no tensors", file=file, remedy=pickles.REMEDY)
    return tensors


def _kind(file: Path) -> str:
    """zip, pickle or safetensors, from the first bytes."""
    if file.is_dir():
        raise InputError("is a directory", file=file, expected="a file of weights")
    if not file.is_file():
        raise InputError("no such file", file=file)
    with file.open("rb") as stream:
        head = stream.read(512)
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\x80") and len(head) > 1 and head[1] <= 5:
        return "pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= file.stat().st_size - 8:
        return "safetensors"
    raise InputError(f"is not a file of weights: {_description(head)}", file=file, remedy=AGAIN)


def _description(head: bytes) -> str:
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer (fetch the content with: git lfs pull)"
    if head.lstrip()[:1] == b"<":
        return "it is a web page"
    if head[257:262] == b"ustar":
        return "it is a tar archive"
    if head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return f"it is text that begins with {head[:40].decode()!r}"
    if head[8:9] == b"{":
        return "it begins like .safetensors, but its index is longer than the file"
    return f"it begins with the bytes {head[:8].hex(' ')}"


def _read_safetensors(file: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stream:
            names = list(stream.keys())
            _check_count(len(names), file)
            return {name: _widen(name, stream, file) for name in names}
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(
            f"cannot be read as .safetensors: {error}", file=file, found=f"{file.stat().st_size} bytes", remedy=AGAIN
        ) from error


def _widen(name: str, stream: Any, file: Path) -> np.ndarray:
    """A tensor of a .safetensors file; NumPy knows no bfloat16 by itself, and nothing shorter at all."""
    kind = stream.get_slice(name).get_dtype()
    if kind not in SAFETENSORS_TYPES:
        raise InputError(
            f"tensor {name!r} is of a type that is not read",
            file=file,
            found=kind,
            expected=", ".join(SAFETENSORS_TYPES),
            remedy="save the weights as float32, as they were before they were quantised",
        )
    if kind != "BF16":
        return np.asarray(stream.get_tensor(name))
    import ml_dtypes  # noqa: F401  # comes with jax, registers bfloat16 with NumPy

    return np.asarray(stream.get_tensor(name)).astype(np.float32)


def _read_torch(file: Path, kind: str) -> dict[str, np.ndarray]:
    check_torch("read .pth files")
    import torch

    _check_zip(file) if kind == "zip" else _check_legacy(file)
    allowed: list[Any] = [(pickles.Placeholder, name) for name in pickles.PLACEHOLDERS]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
            warnings.simplefilter("ignore")  # of PyTorch about its own former formats
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=kind == "zip")
    except Exception as error:  # PyTorch raises many types for damaged files
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"PyTorch refuses it: {type(error).__name__}: {reason}",
            file=file,
            found=f"{file.stat().st_size} bytes",
            remedy=AGAIN,
        ) from error
    tensors: dict[str, np.ndarray] = {}
    for name, tensor in _flatten(content, "", file):
        if name in tensors:
            raise InputError("holds two tensors of one name", file=file, found=name, remedy=pickles.REMEDY)
        tensors[name] = _array(name, tensor, file)
        _check_count(len(tensors), file)
    return tensors


def _check_legacy(file: Path) -> None:
    """PyTorch's former format: magic number, version, system, content and storage keys, five pickles in a row."""
    with file.open("rb") as stream:
        head = stream.read(pickles.LONGEST)
    pickles.check(head, 5, file, file.stat().st_size)


def _check_zip(file: Path) -> None:
    """An archive of stored (not compressed) records that fit into the file and have the checksums they state."""
    size = file.stat().st_size
    with _zip_errors(file), zipfile.ZipFile(file) as archive:
        _refuse_torchscript(archive, file)
        records = archive.infolist()
        packed = [record.filename for record in records if record.compress_type != zipfile.ZIP_STORED]
        total = sum(record.file_size for record in records)
        if packed or total > size or len({record.filename for record in records}) != len(records):
            raise InputError(
                "is not an archive that torch.save writes",
                file=file,
                found=f"{total} bytes in {len(records)} records, {len(packed)} of them compressed {packed[:1]}",
                expected=f"records with distinct names, not compressed, of at most {size} bytes together",
                remedy=pickles.REMEDY,
            )
        content = _pickle_of(archive, file)
        pickles.check(content, 1, file, size)
        if damaged := archive.testzip():
            raise InputError(f"record {damaged!r} is damaged: its checksum is wrong", file=file, remedy=AGAIN)


@contextlib.contextmanager
def _zip_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        size = file.stat().st_size
        raise InputError(
            f"is a damaged or incomplete archive: {error}",
            file=file,
            found=f"{size} bytes",
            expected=f"records, and their table of contents at the end, before byte {size}",
            remedy=AGAIN,
        ) from error


def _refuse_torchscript(archive: zipfile.ZipFile, file: Path) -> None:
    """Told first: of its records only the code is compressed, so that it looks like another archive."""
    if any(re.fullmatch("[^/]+/constants\\.pkl", name) for name in archive.namelist()):
        raise InputError("is a TorchScript program, not weights", file=file, remedy=pickles.REMEDY)


def _pickle_of(archive: zipfile.ZipFile, file: Path) -> bytes:
    """The archive's `data.pkl`; foreign archives are refused."""
    names = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != 1:
        raise InputError(
            "is an archive, but not one of torch.save",
            file=file,
            found=counted(len(names), "record data.pkl", "records data.pkl"),
            expected="one record data.pkl",
            remedy=pickles.REMEDY,
        )
    size = archive.getinfo(names[0]).file_size
    if size > pickles.LONGEST:
        raise InputError(
            f"record {names[0]!r} is too long", file=file, found=size, expected=f"at most {pickles.LONGEST}"
        )
    return archive.read(names[0])


def _check_count(count: int, file: Path) -> None:
    if count > MOST_TENSORS:
        raise InputError("holds too many tensors", file=file, found=count, expected=f"at most {MOST_TENSORS}")


def _flatten(value: Any, prefix: str, file: Path) -> Iterator[tuple[str, Any]]:
    """Tensors in nested dictionaries; numbers, texts and placeholders beside them are passed over."""
    import torch

    if isinstance(value, torch.Tensor):
        if not prefix:
            raise InputError(
                "holds one tensor without a name", file=file, expected="named tensors", remedy=pickles.REMEDY
            )
        yield prefix.removesuffix("/"), value
    elif isinstance(value, dict) and prefix.count("/") < DEEPEST:
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}{key}/", file)
    elif not prefix:
        raise InputError(f"holds a {type(value).__name__}", file=file, expected="named tensors", remedy=pickles.REMEDY)


def _array(name: str, tensor: Any, file: Path) -> np.ndarray:
    """A view of a tensor, after a check that its elements lie apart in its own storage."""
    import torch

    steps = sorted((step, size) for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)
    overlaps = any(step < 1 for step, _ in steps) or any(b[0] < a[0] * a[1] for a, b in itertools.pairwise(steps))
    if tensor.layout != torch.strided or (overlaps and tensor.numel()):
        raise InputError(
            f"tensor {name!r} has elements that share memory",
            file=file,
            found=f"shape {tuple(tensor.shape)}, strides {tensor.stride()}",
            expected="elements that lie apart",
            remedy=pickles.REMEDY,
        )
    tensor = tensor.detach().resolve_neg()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())
