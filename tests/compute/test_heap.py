"""Freed memory stays with a process that computes, and holes between allocations are not searched for ever."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these settings")

FAULTS = """
import resource, sys
from jaxseg.compute.heap import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * (64 << 20)  # freed at once; of NumPy's large arrays, huge pages would make few faults
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
fill()
print(fill())
"""

HOLES = """
import ctypes, sys
from jaxseg.compute.heap import fill_holes, keep_freed_memory
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def reserved():
    return int(open("/proc/self/statm").read().split()[0]) * 4096
def allocated(size):
    address = c.malloc(size)
    ctypes.memset(address, 1, size)
    return address
if sys.argv[1] == "keep":
    keep_freed_memory()
size, large = 100_000, 32 << 20
blocks = [allocated(size) for _ in range(400)]
buffer, _ = allocated(large), allocated(size)
for block in blocks[::2]:
    c.free(block)
c.free(buffer)
before, at_first = resident(), reserved()
filled, again = fill_holes(), fill_holes()
returned, grown = before - resident(), reserved() - at_first
same = c.malloc(large - (16 << 10)) == buffer  # a smaller rest may have been taken meanwhile
taken = [c.malloc(size) for _ in range(50)]
print(filled, again, returned, grown, same, sum(block in blocks for block in taken))
"""


def told(program: str, *arguments: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_memory_is_not_taken_anew() -> None:
    assert int(*told(FAULTS, "keep")) < 100
    assert int(*told(FAULTS, "leave")) > 500


def test_holes_are_filled_once_and_their_memory_given_back() -> None:
    filled, again, returned, grown, _, taken = told(HOLES, "keep")
    holes = 200 * 100_000
    assert 0.8 * holes < int(filled) < 1.5 * holes
    assert int(again) == 0
    assert int(returned) > 0.7 * holes
    assert int(grown) < 100 << 20, "what was taken where no hole was left has been freed"
    assert int(taken) == 0


def test_large_pieces_stay_for_large_arrays() -> None:
    assert told(HOLES, "keep")[4] == "True"


def test_nothing_is_filled_where_freed_memory_is_not_kept() -> None:
    filled, again, *_, taken = told(HOLES, "leave")
    assert int(filled) == int(again) == 0
    assert int(taken) > 0
