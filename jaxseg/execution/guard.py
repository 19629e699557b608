"""Runs a command for a sweep and ends it, with all its descendants, when the sweep says so or is gone.

    python -m jaxseg.execution.guard LOCK TOKEN LOG -- COMMAND...

Parsl's interchange, pools and workers run on when the submitting process is killed; each is started through this. The
command's output goes to LOG, and its environment carries the token as JAXSEG_SWEEP. Temporary files of all of them
are deleted at the end: who is killed cannot.

Signals that ask to end are for the sweep alone, which then stops its workers gently. They often reach everything that
it started as well: from a terminal, `timeout`, systemd, or Slurm at a time limit, to all processes of a job. Ignored
here, they are ignored by the command and its descendants too, which inherit that.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from jaxseg.compute.gpus import JOB_GPUS
from jaxseg.errors import InputError
from jaxseg.execution.lease import GRACE, Watch
from jaxseg.execution.processes import adopt_orphans, end_descendants

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL = 1.0  # seconds between two looks at the lease


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Start guards within this block: they inherit that signals wait, until they ignore them.

    This process, whose other threads do not hold them back, goes on acting on them.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def guard(watch: Watch, log: Path, command: list[str]) -> int:
    """Run `command` until it ends, the sweep tells it to, or is gone; returns an exit code.

    A SIGTERM, by which Parsl ends what it started, only makes it look whether the sweep does, then and from then on.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    adopt_orphans()
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        # a short name: there may be sockets below, whose paths have 107 bytes at most
        scratch = tempfile.TemporaryDirectory(prefix="js", ignore_cleanup_errors=True)
    except OSError as error:
        return _refused(log, f"no folder for temporary files: {error}; free some space, or set TMPDIR to another one")
    with scratch as folder:
        return _watched(watch, log, _started(command, log, JAXSEG_SWEEP=watch.token, TMPDIR=folder))


def _refused(log: Path, why: str) -> int:
    """Say why nothing is started, in one line, where the sweep looks for the last one and where people may see it."""
    print(why, file=sys.stderr)
    with log.open("a") as output:
        print(why, file=output)
    return InputError.exit_code


def _started(command: list[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, **_gpus_of_job(), **environment},
            start_new_session=True,
        )


def _watched(watch: Watch, log: Path, child: subprocess.Popen[bytes]) -> int:
    look = time.monotonic()
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    while child.poll() is None:
        if asked and watch.told_to_end(log):
            end_descendants(0)
            child.wait()
            return 0
        if time.monotonic() >= look:
            if watch.gone():
                break
            look = time.monotonic() + POLL
        time.sleep(0.1)
    end_descendants(GRACE)
    return child.wait()


def _gpus_of_job() -> dict[str, str]:
    """What Slurm lets its job see on this host, under a name that Parsl leaves alone."""
    return {JOB_GPUS: os.environ.get("CUDA_VISIBLE_DEVICES", "")} if "SLURM_JOB_ID" in os.environ else {}


def main() -> None:
    lock, token, log, separator, *command = sys.argv[1:]
    if separator != "--" or not command:
        sys.exit("usage: python -m jaxseg.execution.guard LOCK TOKEN LOG -- COMMAND...")
    sys.exit(guard(Watch(Path(lock), token), Path(log), command))


if __name__ == "__main__":
    main()
