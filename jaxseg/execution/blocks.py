"""Parsl's blocks (a pool of workers on this host, or a job of a cluster): when to give them up, how to end them.

Imports Parsl, half a second, so it is imported only where workers are started.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from parsl.executors import HighThroughputExecutor
from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.jobs.states import TERMINAL_STATES, JobState, JobStatus

FAILURES = 3  # blocks in a row that failed, no run having ended meanwhile, after which no further one is tried
# What nodes of a cluster may lack.
SEEN = "on a cluster whether its nodes see this folder and this Python, and reach this host (--slurm.address)"
STATES = {
    JobState.PENDING: "waits for its nodes",
    JobState.RUNNING: "runs",
    JobState.HELD: "is held",
    JobState.TIMEOUT: "was ended by the cluster, at its time limit or to make room for others",
    JobState.FAILED: "has failed",
    JobState.MISSING: "has ended before its workers reported",
    JobState.CANCELLED: "was cancelled",
    JobState.COMPLETED: "has ended",
}
REFUSALS = 600.0  # seconds for which a cluster that took jobs before may refuse them, such as while it is maintained


class GuardedExecutor(HighThroughputExecutor):
    """Whose interchange is told to end when Parsl no longer talks to it, for which Parsl would wait without a limit.

    Attributes:
        before_shutdown: tells it.
    """

    before_shutdown: Callable[[], None]

    def shutdown(self, timeout: float = 10.0) -> None:
        self.before_shutdown()
        super().shutdown(timeout)


class FailedBlocks:
    """Parsl's handler of blocks that failed.

    Parsl's own gives up at the first one that fails, of which a node that went down is enough, or counts the last few
    however far apart. A cluster that took jobs before may refuse some, for a while.
    """

    def __init__(self, log: Path) -> None:
        """`log` takes what pools of workers say; what stands there is of former sweeps."""
        self._log, self._former = log, len(_content(log))
        self._started: set[str] = set()
        self._failed: set[str] = set()
        self._row = 0
        self._refused_since: float | None = None

    def reset(self) -> None:
        """A run has ended: blocks work."""
        self._row = 0

    def __call__(self, executor: BlockProviderExecutor, status: dict[str, JobStatus]) -> None:
        started = executor.blocks_to_job_id.keys()
        if started - self._started:
            self._started |= started
            self._refused_since = None
        failed = {block for block, job in status.items() if job.state in (JobState.FAILED, JobState.MISSING)}
        for block in sorted(failed - self._failed, key=int):
            self._failed.add(block)
            self._count(refused=block not in started)
            if self._row >= FAILURES or self._refused_too_long():
                executor.set_bad_state_and_fail_all(TooManyJobFailuresError(self._why(status[block], block in started)))
                return

    def _count(self, refused: bool) -> None:
        if not (refused and self._started):
            self._row += 1
        elif self._refused_since is None:
            self._refused_since = time.monotonic()

    def _refused_too_long(self) -> bool:
        return self._refused_since is not None and time.monotonic() - self._refused_since > REFUSALS

    def _why(self, job: JobStatus, started: bool) -> str:
        said = {"exit code": job.exit_code, "output": job.stdout_summary, "errors": job.stderr_summary}
        said |= {"last words of the workers": self._last_words()}
        lines = [job.message or "the workers could not start"]
        lines += [f"  {name}: {str(value).strip()}" for name, value in said.items() if value]
        return "\n".join(lines + ([f"  see {self._log}, and {SEEN}"] if started else []))

    def _last_words(self) -> str:
        """Of their log, such as the error that a traceback ends with."""
        return _content(self._log)[self._former :].decode(errors="replace").strip().rpartition("\n")[2]


class JobNews:
    """Lines on a cluster's jobs: which there are, and what has become of them since the last look."""

    def __init__(self) -> None:
        self._told: dict[str, JobState] = {}

    def __call__(self, executor: BlockProviderExecutor) -> list[str]:
        jobs = dict(executor.blocks_to_job_id)  # another thread fills them
        states = {jobs[block]: job.state for block, job in dict(executor.status_facade).items() if block in jobs}
        new = {job: state for job, state in states.items() if state in STATES and self._is_news(job, state)}
        self._told |= new
        return [f"job {job} of the cluster {STATES[state]}" for job, state in new.items()]

    def _is_news(self, job: str, state: JobState) -> bool:
        """Parsl says of a job that was ended, however that was, some time later that it has ended."""
        former = self._told.get(job)
        return state != former and former not in TERMINAL_STATES


def _content(log: Path) -> bytes:
    with contextlib.suppress(OSError):
        return log.read_bytes()
    return b""
