"""One sweep holds a study; what it started sees when it is gone."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jaxseg.errors import InputError, UsageError
from jaxseg.execution import lease
from jaxseg.execution.lease import PATIENCE, Watch, hold_study, is_held

HOLD = "import sys,time,pathlib\nfrom jaxseg.execution.lease import hold_study\n"
HOLD += "with hold_study(pathlib.Path(sys.argv[1])) as held:\n print(held.token, flush=True)\n time.sleep(60)"


def test_second_sweep_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WATCHERS_PEEK", 0.2)
    with (
        hold_study(tmp_path),
        pytest.raises(UsageError, match=f"another sweep is at work(.|\n)*process {os.getpid()} on"),
        hold_study(tmp_path),
    ):
        pass
    with hold_study(tmp_path):  # free again
        pass


def test_a_study_that_is_held_is_refused_also_where_its_file_does_not_tell_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "WATCHERS_PEEK", 0.2)
    file = tmp_path / lease.FILE_NAME
    file.touch()  # as of a sweep that is about to write it
    with file.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another sweep is at work"), hold_study(tmp_path):
            pass


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lease.os, "pwrite", full)
    with pytest.raises(InputError, match="No space left on device"), hold_study(tmp_path):
        pass


def test_a_watcher_that_looks_at_a_free_lock_keeps_no_sweep_from_it(tmp_path: Path) -> None:
    """As workers of a killed sweep do while the next one starts."""
    (tmp_path / lease.FILE_NAME).touch()
    with (tmp_path / lease.FILE_NAME).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        looked = threading.Timer(0.3, fcntl.flock, (stream, fcntl.LOCK_UN))
        looked.start()
        with hold_study(tmp_path):
            looked.join()


def test_watcher_sees_the_end_of_a_killed_holder(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout is not None
        watch = Watch(tmp_path / lease.FILE_NAME, holder.stdout.readline().strip())
        assert not watch.gone()
        assert not watch.stopping()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert watch.gone()
        assert watch.stopping()


def test_watcher_of_a_former_sweep_sees_another_token(tmp_path: Path) -> None:
    with hold_study(tmp_path) as first:
        former = Watch(first.path, first.token)
        assert not former.gone()
    with hold_study(tmp_path) as second:
        assert former.gone()
        assert not Watch(second.path, second.token).gone()
        second.end(tmp_path / "workers.out")
        assert not former.told_to_end(tmp_path / "workers.out"), "which has time to save"
    Path(second.path).unlink()
    assert Watch(second.path, second.token).gone()


def test_request_to_stop_is_seen_and_ends_with_the_sweep(tmp_path: Path) -> None:
    with hold_study(tmp_path) as held:
        watch = Watch(held.path, held.token)
        held.ask_to_stop()
        assert watch.stopping()
        assert not watch.gone(), "workers save first, nobody may end them"
    with hold_study(tmp_path) as held:
        assert not Watch(held.path, held.token).stopping()


def test_watcher_on_another_host_goes_by_signs_of_life(tmp_path: Path) -> None:
    file = tmp_path / lease.FILE_NAME
    file.write_text(json.dumps({"token": "t", "host": "elsewhere", "pid": 1}) + "\n")
    watch = Watch(file, "t", patience=0.3)
    for beat in range(4):
        os.utime(file, (beat, beat))
        assert not watch.gone()
        time.sleep(0.15)
    time.sleep(0.3)
    assert watch.gone()


def test_a_lock_file_that_cannot_be_read_for_a_while_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_answer(*_: object, **__: object) -> None:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    with hold_study(tmp_path) as held:
        watch = Watch(held.path, held.token, patience=0.3)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", no_answer)
            assert not watch.gone()
            assert not watch.stopping()
        time.sleep(0.4)
        assert not watch.gone(), "it answers again"
        with monkeypatch.context() as patch:
            patch.setattr(lease.fcntl, "flock", no_answer)
            assert not watch.gone()
            time.sleep(0.4)
            assert watch.gone()
            assert watch.stopping()


def test_whether_a_sweep_is_at_work(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with hold_study(tmp_path) as lease:
        assert is_held(tmp_path)
        elsewhere = lease.path.read_text().replace(socket.gethostname(), "another-host")
    assert not is_held(tmp_path)
    lease.path.write_text(elsewhere)
    assert is_held(tmp_path), "on another host, whose lock does not reach here"
    long_ago = time.time() - 2 * PATIENCE
    os.utime(lease.path, (long_ago, long_ago))
    assert not is_held(tmp_path)
    lease.path.write_text("")
    assert not is_held(tmp_path)


def test_holder_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    with hold_study(tmp_path) as held:
        os.utime(held.path, (1, 1))
        time.sleep(0.3)
        assert held.path.stat().st_mtime > 1
