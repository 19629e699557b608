"""Freed memory stays with a process that computes."""

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


def faults(way: str) -> int:
    return int(subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has these settings")
def test_memory_is_not_taken_anew() -> None:
    assert faults("keep") < 100
    assert faults("leave") > 500
