"""Short programs in a process of their own, so that a broken driver or an abort of XLA's ends no more than that."""

import os
import subprocess
import sys

BESIDE_OTHERS = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # who may be at work on the GPUs


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
    lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
    return False, next(
        (line for line in lines if "Check failed" in line), lines[-1]
    )  # XLA's abort has a trace below it
