"""How the C library gives out memory to the threads of a training step. Does nothing where it is not glibc."""

import ctypes
import os
import threading
from typing import NamedTuple

# glibc's malloc.h, and Linux' mman.h
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
TOP_PAD_BYTES = 64 << 20
DONTNEED = 4
# Bytes of a hole that is filled: smaller ones cost little, larger ones are rare and serve a step's own arrays.
SMALL, LARGE = 16 << 10, 1 << 20
LEAST = 32  # bytes that an allocation takes; what lies between two that touch is less
PAGE = os.sysconf("SC_PAGE_SIZE")

_keeps = threading.Event()  # set once freed memory is kept


def keep_freed_memory() -> None:
    """Let the C library give freed memory to later allocations rather than back to the system.

    A training step on a CPU needs hundreds of megabytes for a second; taking them anew from the system each time costs
    a tenth of the step in page faults.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    never = -1
    for parameter, value in ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, never), (TOP_PAD, TOP_PAD_BYTES)):
        library.mallopt(parameter, value)
    _keeps.set()


def c_library() -> ctypes.CDLL:
    """The C library, with the types of `malloc` and `free`."""
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    return library


def is_kept() -> bool:
    """Whether this process keeps freed memory."""
    return _keeps.is_set()


class _Information(ctypes.Structure):
    """`struct mallinfo2`, of glibc 2.33 and later."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]
    fordblks: int  # bytes that are free
    keepcost: int  # of these, at the top of the heap


def fill_holes() -> int:
    """Take the holes between allocations out of circulation, and give their pages back to the system.

    A compiler leaves many. From then on allocations of some size, ten thousand in each step of the full U-Net, take
    ten times as long and more, under a lock that all of its threads need (docs/speed.md). Only where freed memory is
    kept, since threads share no heap otherwise.

    Returns:
        Bytes taken.
    """
    library = c_library()
    if not is_kept() or not hasattr(library, "mallinfo2"):
        return 0
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    filled = 0
    for hole in _holes(_pieces(library)):
        size = sum(piece.size for piece in hole)
        for address, length in hole:
            if size >= LARGE:
                library.free(address)
            else:
                first, end = -(-address // PAGE) * PAGE, (address + length) // PAGE * PAGE
                library.madvise(first, max(0, end - first), DONTNEED)
        filled += size if size < LARGE else 0
    return filled


class _Piece(NamedTuple):
    address: int
    size: int


def _pieces(library: ctypes.CDLL) -> list[_Piece]:
    """All that is free below the top of the heap and not tiny, allocated in pieces, largest first."""
    library.mallinfo2.restype = _Information
    library.sbrk.restype, library.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
    free = library.mallinfo2()
    top, left = library.sbrk(0) - free.keepcost, free.fordblks - free.keepcost
    pieces, size = [], left
    while size >= SMALL and left > 0:
        address = library.malloc(size)
        if address is not None and address < top:
            pieces.append(_Piece(address, size))
            left -= size
            continue
        library.free(address)  # none of this size is left
        size = size * 7 // 8
    return pieces


def _holes(pieces: list[_Piece]) -> list[list[_Piece]]:
    """The pieces that lie in one hole, together: nothing that is in use fits between them."""
    holes: list[list[_Piece]] = []
    end = -LEAST
    for piece in sorted(pieces):
        if piece.address - end < LEAST:
            holes[-1].append(piece)
        else:
            holes.append([piece])
        end = piece.address + piece.size
    return holes
