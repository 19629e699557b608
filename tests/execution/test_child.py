"""What is told of a program that fails in a process of its own: what was wrong, not what was printed after it."""

import pytest

from jaxseg.execution import child
from jaxseg.execution.one_graph import PASSING

OF_JAX = """
import jax

def fail():
    problem = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes."
    raise jax.errors.JaxRuntimeError(f"{problem}\\nBuffers:\\n  1")

jax.jit(fail)()
"""
CHAINED = """
import sys

try:
    {}["driver"]
except KeyError as error:
    raise RuntimeError("no driver") from error
"""
AT_EXIT = """
import atexit, sys

atexit.register(lambda: print("W1201 10:00:00 cuda_executor.cc:1] leaks", file=sys.stderr))
raise ValueError("the loss is nan")
"""
ABORTED = """
import os, sys

print("F1201 cuda_dnn.cc:1] Check failed: status == OK\\n*** stack trace: ***", file=sys.stderr)
os.abort()
"""
KILLED = "import os; os.kill(os.getpid(), 11)"


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (OF_JAX, "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes."),
        (CHAINED, "RuntimeError: no driver"),
        (AT_EXIT, "ValueError: the loss is nan"),
        (ABORTED, "F1201 cuda_dnn.cc:1] Check failed: status == OK"),
        (ABORTED.replace("Check failed", "unsupported"), "F1201 cuda_dnn.cc:1] unsupported: status == OK"),
        ("import sys; sys.exit('no such file')", "no such file"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        (f"import sys; print('allocating', file=sys.stderr); {KILLED}", "ended by SIGSEGV: allocating"),
        ("1 +", "SyntaxError: invalid syntax"),
    ],
)
def test_the_line_that_tells_what_was_wrong(program: str, told: str) -> None:
    assert child.run(program, patience=300, JAX_PLATFORMS="cpu") == (False, told)


def test_a_failure_that_may_pass_is_known_by_what_is_told_of_it() -> None:
    _, said = child.run(OF_JAX, patience=300, JAX_PLATFORMS="cpu")
    assert PASSING.search(said)


def test_what_a_program_prints_and_one_that_takes_too_long() -> None:
    assert child.run("import sys; print(*sys.argv[1:])", "a", "b", patience=300) == (True, "a b")
    assert child.run("import time; time.sleep(60)", patience=0.2) == (False, "no answer within 0.2 s")
