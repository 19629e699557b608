"""Runs a command for a sweep and ends it, with all its descendants, when the sweep is gone.

    python -m jaxseg.execution.guard LOCK TOKEN LOG -- COMMAND...

Parsl's interchange, pools and workers run on when the submitting process is killed; each is started through this. The
command's output goes to LOG, and its environment carries the token as JAXSEG_SWEEP.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from jaxseg.execution.lease import Watch
from jaxseg.execution.processes import adopt_orphans, end_descendants

POLL = 1.0  # seconds between two looks at the lease
GRACE = 3.0  # seconds between SIGTERM and SIGKILL


def guard(watch: Watch, log: Path, command: list[str]) -> int:
    """Run `command` until it ends, the sweep is gone, or a SIGTERM comes; returns an exit code."""
    asked: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep, which then stops its workers gently
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    adopt_orphans()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, "JAXSEG_SWEEP": watch.token},
            start_new_session=True,
        )
    look = time.monotonic()
    while child.poll() is None and not asked:
        if time.monotonic() >= look:
            if watch.gone():
                break
            look = time.monotonic() + POLL
        time.sleep(0.1)
    end_descendants(GRACE)
    return child.wait() if not asked else 0


def main() -> None:
    lock, token, log, separator, *command = sys.argv[1:]
    if separator != "--" or not command:
        sys.exit("usage: python -m jaxseg.execution.guard LOCK TOKEN LOG -- COMMAND...")
    sys.exit(guard(Watch(Path(lock), token), Path(log), command))


if __name__ == "__main__":
    main()
