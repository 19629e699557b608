"""Memory that was touched ahead costs no page faults later, and none is held once it is enough."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone keeps freed memory")

SETUP = """
import ctypes, resource, sys, threading, time
from jaxseg.compute import first_touch
from jaxseg.compute.heap import keep_freed_memory
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def threads():
    return [thread for thread in threading.enumerate() if thread.name == "touch-memory"]
if sys.argv[1] == "keep":
    keep_freed_memory()
"""
TOUCHED = """
first_touch.begin(int(sys.argv[2]) << 20)
for thread in threads():
    thread.join()
first_touch.end()
size = 200 << 20
before = faults()
ctypes.memset(c.malloc(size), 1, size)
print(faults() - before)
"""
ENOUGH = """
before, size = resident(), 2 << 30
first_touch.begin(size)
first_touch.begin(size)  # one is at it
count = len(threads())
first_touch.end()
left = len(threads())
first_touch.end()
first_touch.begin(size)
again = len(threads())
first_touch.end()
print(count, left, again, resident() - before)
"""


def told(program: str, *arguments: str) -> list[int]:
    run = subprocess.run([sys.executable, "-c", SETUP + program, *arguments], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, ""), "an error in a thread ends no process"
    return [int(word) for word in run.stdout.split()]


def test_what_was_touched_ahead_costs_no_faults_later() -> None:
    assert told(TOUCHED, "keep", "256")[0] < 1000
    assert told(TOUCHED, "keep", "0")[0] > 40_000


def test_where_freed_memory_is_not_kept_nothing_is_touched() -> None:
    assert told(TOUCHED, "leave", "256")[0] > 40_000


def test_it_ends_when_told_and_can_begin_again() -> None:
    threads, left, again, touched = told(ENOUGH, "keep")
    assert (threads, left, again) == (1, 0, 1)
    assert touched < 1 << 30


def test_more_than_there_is_harms_nothing() -> None:
    assert told("first_touch.begin(1 << 60)\nfirst_touch.end()\nprint(len(threads()))", "keep") == [0]
