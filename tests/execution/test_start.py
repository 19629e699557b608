"""Freed memory stays with a process that computes, which looks for garbage rarely."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from jaxseg.execution.start import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * (64 << 20)  # freed at once; of NumPy's large arrays, huge pages would make few faults
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
fill()
print(fill())
"""


LOOKS = """
import gc, sys
from jaxseg.execution.start import look_for_garbage_rarely
if sys.argv[1] == "rarely":
    look_for_garbage_rarely()
def looks():
    return sum(generation["collections"] for generation in gc.get_stats())
before = looks()
kept = [[] for _ in range(70_000)]
print(looks() - before)
"""
IMPORTED = """
import sys
import jaxseg.execution.single
print([name for name in ("orbax.checkpoint", "grain", "pandas", "matplotlib") if name in sys.modules])
"""


def told(program: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    ).stdout


def faults(way: str) -> int:
    return int(told(FAULTS, way))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has these settings")
def test_memory_is_not_taken_anew() -> None:
    assert faults("keep") < 100
    assert faults("leave") > 500


def test_garbage_is_looked_for_rarely() -> None:
    assert int(told(LOOKS, "rarely")) <= 1
    assert int(told(LOOKS, "often")) > 50


def test_what_the_first_step_does_not_need_is_not_imported_before() -> None:
    assert told(IMPORTED) == "[]\n"
