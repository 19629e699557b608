"""A guarded command ends with its sweep, wherever its children moved."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxseg.execution.guard import SIGNALS, signals_held_back
from jaxseg.execution.lease import GRACE, guarded, hold_study

# a child in a session of its own, whose own child is orphaned
HIDE = """
import os, time
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


@pytest.mark.parametrize(("job", "told"), [({"SLURM_JOB_ID": "7"}, "2,3"), ({}, "None")])
def test_a_command_in_a_job_of_a_cluster_is_told_the_gpus_of_the_job(
    job: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    say, log = "import os; print(os.environ.get('JAXSEG_JOB_GPUS'))", tmp_path / "log"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "2,3", **job}
    with hold_study(tmp_path) as lease:
        command = [*guarded(lease, log), sys.executable, "-c", say]
        assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == 0
    assert log.read_text().split() == [told]


def test_all_descendants_end_when_the_lease_does(tmp_path: Path) -> None:
    mark, log = uuid.uuid4().hex, tmp_path / "log"
    with hold_study(tmp_path) as lease:
        guard = subprocess.Popen([*guarded(lease, log), sys.executable, "-c", HIDE, mark])
        wait_for(lambda: log.exists() and "ready" in log.read_text(), 10)
        time.sleep(1.5)
        assert len(marked(mark)) == 3, "guard, command, hidden grandchild: they live as long as the lease"
    wait_for(lambda: guard.poll() is not None, 10)
    assert marked(mark) == []


def test_all_descendants_end_when_the_sweep_says_so_and_no_signal_does(tmp_path: Path) -> None:
    """Signals that end a sweep gently often reach all that it started; only the sweep knows what is to come."""
    mark, log = uuid.uuid4().hex, tmp_path / "log"
    with hold_study(tmp_path) as lease:
        guard = subprocess.Popen([*guarded(lease, log), sys.executable, "-c", HIDE, mark])
        wait_for(lambda: log.exists() and "ready" in log.read_text(), 10)
        lease.end(tmp_path / "another log")
        lease.ask_to_stop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for process in marked(mark):
                os.kill(process, number)
        time.sleep(1.5)
        assert len(marked(mark)) == 3
        lease.end(log)
        guard.terminate()
        told = time.monotonic()
        wait_for(lambda: guard.poll() is not None, 10)
        assert time.monotonic() - told < GRACE, "there is nothing to save"
        assert guard.returncode == 0
        assert marked(mark) == []


def test_signals_that_come_before_a_guard_can_ignore_them(tmp_path: Path) -> None:
    code = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with hold_study(tmp_path) as lease:
        with signals_held_back():
            guard = subprocess.Popen([*guarded(lease, tmp_path / "log"), sys.executable, "-c", code])
        for number in SIGNALS:
            guard.send_signal(number)
        assert guard.wait(20) == 0
    assert (tmp_path / "log").read_text() == "set()\n", "the command itself holds none back"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_what_a_lost_sweep_leaves_has_time_to_save(tmp_path: Path) -> None:
    log = tmp_path / "log"
    save = f"import time; print('ready', flush=True); time.sleep({0.5 + GRACE / 2}); print('saved', flush=True)"
    with hold_study(tmp_path) as lease:
        guard = subprocess.Popen([*guarded(lease, log), sys.executable, "-c", save])
        wait_for(lambda: log.exists() and "ready" in log.read_text(), 10)
    wait_for(lambda: guard.poll() is not None, 10)
    assert log.read_text() == "ready\nsaved\n"


def test_exit_code_output_and_token_pass_through(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['JAXSEG_SWEEP'], sys.stdin.read(), flush=True)"
    code += "; print('why', file=sys.stderr); sys.exit(7)"
    with hold_study(tmp_path) as lease:
        command = [*guarded(lease, tmp_path / "logs" / "log"), sys.executable, "-c", code]
        for _ in range(2):  # as of one block of workers after the other, whose words stay
            assert subprocess.run(command, input=b"given", check=False).returncode == 7
        assert (tmp_path / "logs" / "log").read_text() == 2 * f"{lease.token} given\nwhy\n"


def test_temporary_files_of_who_is_killed_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, scratch = "import os, tempfile; print(tempfile.mkdtemp(), flush=True); os.abort()", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with hold_study(tmp_path) as lease:
        command = [*guarded(lease, tmp_path / "log"), sys.executable, "-c", make]
        assert subprocess.run(command, check=False, timeout=60).returncode != 0
    assert (tmp_path / "log").read_text().startswith(f"{scratch}/")
    assert list(scratch.iterdir()) == []


def test_a_host_without_room_for_temporary_files_is_told(tmp_path: Path) -> None:
    full = """
import tempfile
from jaxseg.execution import guard
def refuse(**options):
    raise OSError(28, "No space left on device", "/tmp/js")
tempfile.TemporaryDirectory = refuse
guard.main()
"""
    with hold_study(tmp_path) as lease:
        arguments = guarded(lease, tmp_path / "log")
        begun = arguments.index(str(lease.path))
        command = [sys.executable, "-c", full, *arguments[begun:], "touch", str(tmp_path / "started")]
        ended = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
    assert ended.returncode == 3, ended.stderr
    assert "No space left on device: '/tmp/js'; free some space, or set TMPDIR" in (tmp_path / "log").read_text()
    assert ended.stderr == (tmp_path / "log").read_text()
    assert not (tmp_path / "started").exists()


def test_nothing_starts_for_a_sweep_that_is_gone(tmp_path: Path) -> None:
    with hold_study(tmp_path) as lease:
        pass
    command = [*guarded(lease, tmp_path / "log"), sys.executable, "-c", "import time; time.sleep(50)"]
    assert subprocess.run(command, check=False, timeout=45).returncode != 0
