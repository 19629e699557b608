"""Numeric arrays of MATLAB files of level 5, read by bounds that are checked.

SciPy reads the same files, but damaged ones can take the whole process down with it. Layout: "MAT-File Format",
The MathWorks: a header of 128 bytes, then elements of a tag (type, bytes) and data, filled up to 8 bytes.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMERIC_CLASSES = range(6, 16)  # double, single and whole numbers; others are text, cells, structures, sparse
LARGEST = 1 << 30  # bytes of one array, unpacked


class Variable(NamedTuple):
    """`values` is None where the variable is no plain array of real numbers."""

    name: str
    values: npt.NDArray[Any] | None


def variables(content: bytes) -> Iterator[Variable]:
    """Variables of a file, in order.

    Raises:
        ValueError: not such a file, or a damaged one.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or struct.unpack(f"{order}H", content[124:126])[0] != 0x0100:
        raise ValueError("no MATLAB file of level 5 (versions 5 to 7; save with -v7, not -v7.3)")
    for kind, data in _elements(memoryview(content)[128:], order):
        if kind == COMPRESSED:
            kind, data = next(_elements(memoryview(_inflated(data)), order), (0, data))
        if kind == MATRIX:
            yield _variable(data, order)


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, data) of the elements that follow each other."""
    place = 0
    while place < len(content):
        if place + 8 > len(content):
            raise ValueError("ends within a tag")
        kind, count = struct.unpack(f"{order}II", content[place : place + 8])
        small = kind >> 16  # bytes of an element that has its data within the tag
        start, end = (place + 4, place + 4 + small) if small else (place + 8, place + 8 + count)
        if small > 4 or end > len(content):
            raise ValueError("announces more data than there is")
        yield (kind & 0xFFFF if small else kind), content[start:end]
        place = place + 8 if small else end if kind == COMPRESSED else end + -end % 8


def _inflated(data: memoryview) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, LARGEST)
    except zlib.error as error:
        raise ValueError(f"damaged: {error}") from error
    if unpacker.unconsumed_tail:
        raise ValueError("holds too large an array")
    if not unpacker.eof:
        raise ValueError("ends within an array")
    return content


def _variable(data: memoryview, order: str) -> Variable:
    parts = list(_elements(data, order))
    if len(parts) < 3 or len(parts[0][1]) != 8:
        raise ValueError("holds an array without flags, shape and name")
    (flags,) = struct.unpack(f"{order}I", parts[0][1][:4])
    sides = _numbers(*parts[1], order)
    if sides.dtype.kind not in "iu":
        raise ValueError(f"holds an array whose shape is stored as {sides.dtype}, not as whole numbers")
    shape = tuple(sides.tolist())
    name = bytes(parts[2][1]).decode("ascii", errors="replace")
    if flags & 0xFF not in NUMERIC_CLASSES or flags & 0x0800 or len(parts) != 4:
        return Variable(name, None)
    values = _numbers(*parts[3], order)
    if any(side < 0 for side in shape) or values.size != int(np.prod(shape, dtype=object)):
        raise ValueError(f"{values.size} values do not make an array of shape {shape}")
    return Variable(name, values.reshape(shape, order="F"))


def _numbers(kind: int, data: memoryview, order: str) -> npt.NDArray[Any]:
    """Values as stored; MATLAB stores whole numbers in fewer bytes than their class has."""
    if kind not in NUMBERS:
        raise ValueError(f"holds numbers of unknown type {kind}")
    return np.frombuffer(data, np.dtype(order + NUMBERS[kind]))
