"""Short programs in a process of their own, so that a broken driver or an abort of XLA's ends no more than that."""

import os
import re
import signal
import subprocess
import sys

BESIDE_OTHERS = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # who may be at work on the GPUs

FATAL = re.compile(r"Check failed|^F\d{4} ")  # by which XLA ends a process, with a trace below


def run(code: str, *arguments: str, patience: float, **environment: str) -> tuple[bool, str]:
    """Whether a Python program ended well, and what it printed, or the line that tells what was wrong.

    Args:
        code: the program; arguments: it finds them in `sys.argv`.
        patience: seconds until it is ended.
        environment: variables besides those of this process.
    """
    try:
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
            env={**os.environ, **BESIDE_OTHERS, **environment},
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {patience:g} s"
    if result.returncode == 0:
        return True, result.stdout.strip()
    return False, _why(result.returncode, result.stderr.strip().splitlines())


def _why(code: int, lines: list[str]) -> str:
    """The line that tells what was wrong: not always the last, which may be JAX's note on what a traceback leaves out.

    Args:
        code: with which the program ended; negative where a signal ended it.
        lines: that it wrote as errors.
    """
    if aborted := [line for line in lines if FATAL.search(line)]:
        return aborted[0]
    if code < 0:
        return f"ended by {signal.Signals(-code).name}" + "".join(f": {line}" for line in lines[-1:])
    traces = [number for number, line in enumerate(lines) if line.startswith("Traceback (")]
    after = lines[traces[-1] + 1 :] if traces else []
    raised = next((line for line in after if line and not line[0].isspace()), None)
    return raised or (lines[-1] if lines else f"exit code {code}")
