"""The analysis of a finished study, in a process of its own: the sweep itself never imports JAX."""

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from jaxseg.command import command
from jaxseg.config import REPORT_FILE
from jaxseg.errors import RunsFailedError, StoppedError
from jaxseg.execution.guard import signals_held_back
from jaxseg.execution.lease import Lease, guarded
from jaxseg.execution.start import prepare_process


def write(study: Path, data_dir: Path, program: str, lease: Lease, log: Path, should_stop: Callable[[], bool]) -> Path:
    """Analyse the study in a child process on the CPU; returns the report's path.

    Args:
        program: module with `analyze(study, data_dir)`; log: file that takes its output.

    Raises:
        RunsFailedError: the analysis failed; its output is passed on. The runs stay as they are.
        StoppedError: on request.
    """
    log.unlink(missing_ok=True)
    arguments = [sys.executable, "-m", "jaxseg.execution.report", program, str(study), str(data_dir)]
    with signals_held_back():
        child = subprocess.Popen([*guarded(lease, log), *arguments], env={**os.environ, "JAX_PLATFORMS": "cpu"})
    while child.poll() is None:
        if should_stop():
            lease.end(log)
            child.terminate()  # which makes its guard look
            child.wait()
            raise StoppedError("stopped during the analysis; repeat the command to resume")
        time.sleep(0.1)
    if child.returncode != 0:
        print(log.read_text(errors="replace"), file=sys.stderr)
        raise RunsFailedError(
            "the analysis of the finished runs failed",
            file=study,
            found=f"exit code {child.returncode}",
            remedy=f"see above, then: python launch/analyze.py {study}",
        )
    return study / REPORT_FILE


def main() -> None:
    program, study, data_dir = sys.argv[1:]
    prepare_process()
    importlib.import_module(program).analyze(Path(study), Path(data_dir))


if __name__ == "__main__":
    command(main)
