"""A guarded command ends with its sweep, wherever its children moved."""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from jaxseg.execution.lease import guarded, hold_study

# a child in a session of its own, whose own child is orphaned; both ignore SIGTERM
HIDE = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('ready', flush=True)
        time.sleep(100)
    os._exit(0)
time.sleep(100)
"""


def marked(mark: str) -> list[int]:
    """Living processes whose command line holds the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.05)


def test_all_descendants_end_when_the_lease_does(tmp_path: Path) -> None:
    mark, log = uuid.uuid4().hex, tmp_path / "log"
    with hold_study(tmp_path) as lease:
        guard = subprocess.Popen([*guarded(lease, log), sys.executable, "-c", HIDE, mark])
        wait_for(lambda: log.exists() and "ready" in log.read_text(), 10)
        time.sleep(1.5)
        assert len(marked(mark)) == 3, "guard, command, hidden grandchild: they live as long as the lease"
    wait_for(lambda: guard.poll() is not None, 10)
    assert marked(mark) == []


def test_terminated_guard_ends_its_command(tmp_path: Path) -> None:
    mark, log = uuid.uuid4().hex, tmp_path / "log"
    with hold_study(tmp_path) as lease:
        guard = subprocess.Popen([*guarded(lease, log), sys.executable, "-c", HIDE, mark])
        wait_for(lambda: log.exists() and "ready" in log.read_text(), 10)
        guard.terminate()
        wait_for(lambda: guard.poll() is not None, 10)
        assert marked(mark) == []


def test_exit_code_output_and_token_pass_through(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['JAXSEG_SWEEP'], sys.stdin.read()); sys.exit(7)"
    with hold_study(tmp_path) as lease:
        command = [*guarded(lease, tmp_path / "logs" / "log"), sys.executable, "-c", code]
        result = subprocess.run(command, input=b"given", check=False)
        assert result.returncode == 7
        assert (tmp_path / "logs" / "log").read_text() == f"{lease.token} given\n"


def test_nothing_starts_for_a_sweep_that_is_gone(tmp_path: Path) -> None:
    with hold_study(tmp_path) as lease:
        pass
    command = [*guarded(lease, tmp_path / "log"), sys.executable, "-c", "import time; time.sleep(50)"]
    assert subprocess.run(command, check=False, timeout=45).returncode != 0
