"""A process that computes looks for garbage rarely, and imports late what its first step does not need."""

import subprocess
import sys

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


def test_garbage_is_looked_for_rarely() -> None:
    assert int(told(LOOKS, "rarely")) <= 1
    assert int(told(LOOKS, "often")) > 50


def test_what_the_first_step_does_not_need_is_not_imported_before() -> None:
    assert told(IMPORTED) == "[]\n"
