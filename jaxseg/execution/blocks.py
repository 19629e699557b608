"""Parsl's blocks (a pool of workers on this host, or a job of a cluster): when to give them up, how to end them.

Imports Parsl, half a second, so it is imported only where workers are started.
"""

import time
from collections.abc import Callable

from parsl.executors import HighThroughputExecutor
from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.jobs.states import JobState, JobStatus

FAILURES = 3  # blocks in a row that failed, no run having ended meanwhile, after which no further one is tried
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

    def __init__(self) -> None:
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
                executor.set_bad_state_and_fail_all(TooManyJobFailuresError(_why(status[block])))
                return

    def _count(self, refused: bool) -> None:
        if not (refused and self._started):
            self._row += 1
        elif self._refused_since is None:
            self._refused_since = time.monotonic()

    def _refused_too_long(self) -> bool:
        return self._refused_since is not None and time.monotonic() - self._refused_since > REFUSALS


def _why(job: JobStatus) -> str:
    said = {"exit code": job.exit_code, "output": job.stdout_summary, "errors": job.stderr_summary}
    lines = [job.message or "the workers could not start"]
    return "\n".join(lines + [f"  {name}: {value}" for name, value in said.items() if value])
