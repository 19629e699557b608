"""When pools of workers, or jobs of a cluster, are given up."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from parsl.executors import HighThroughputExecutor
from parsl.jobs.states import JobState, JobStatus

from jaxseg.execution import blocks
from jaxseg.execution.blocks import FAILURES, FailedBlocks, GuardedExecutor, JobNews

LOG = Path("no such log")


class Executor(SimpleNamespace):
    """What a handler sees of one of Parsl's."""

    def __init__(self) -> None:
        super().__init__(blocks_to_job_id={}, status={}, status_facade={}, given_up=None)

    def block(self, state: JobState, *, started: bool = True, **told: object) -> None:
        name = str(len(self.status))
        self.status[name] = JobStatus(state, **told)  # type: ignore[arg-type]
        if started:
            self.blocks_to_job_id[name] = f"job {name}"

    def set_bad_state_and_fail_all(self, error: Exception) -> None:
        self.given_up = str(error)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.MISSING])
def test_some_that_fail_in_a_row_are_given_up_with_what_the_last_one_said(state: JobState) -> None:
    executor, handle = Executor(), FailedBlocks(LOG)
    for failed in range(FAILURES):
        assert executor.given_up is None
        executor.block(state, exit_code=failed, message="no such module")
        for _ in range(5):  # one failure counts once, however often it is looked at
            handle(executor, executor.status)
    assert executor.given_up.startswith(f"no such module\n  exit code: {FAILURES - 1}\n  see {LOG}, and on a cluster")


def test_a_run_that_ends_meanwhile_shows_that_blocks_work() -> None:
    executor, handle = Executor(), FailedBlocks(LOG)
    for _ in range(5 * FAILURES):
        executor.block(JobState.FAILED)
        handle(executor, executor.status)
        handle.reset()
    assert executor.given_up is None


def test_jobs_that_reach_their_time_limit_are_no_failures() -> None:
    executor, handle = Executor(), FailedBlocks(LOG)
    for state in [JobState.TIMEOUT, JobState.COMPLETED, JobState.SCALED_IN, JobState.RUNNING] * FAILURES:
        executor.block(state)
        handle(executor, executor.status)
    assert executor.given_up is None


def test_a_cluster_that_takes_no_job_is_given_up_soon_and_one_that_did_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(blocks.time, "monotonic", lambda: now)
    never, handle = Executor(), FailedBlocks(LOG)
    for _ in range(FAILURES):
        assert never.given_up is None
        never.block(JobState.FAILED, started=False, message="invalid partition")
        handle(never, never.status)
    assert never.given_up == "invalid partition"

    once, handle = Executor(), FailedBlocks(LOG)
    for _ in range(2):
        once.block(JobState.TIMEOUT)
        for _ in range(100):
            once.block(JobState.FAILED, started=False, message="controller does not answer")
            handle(once, once.status)
            now += blocks.REFUSALS / 110
        assert once.given_up is None, "it takes jobs again"
    for _ in range(20):
        once.block(JobState.FAILED, started=False, message="controller does not answer")
        handle(once, once.status)
        now += blocks.REFUSALS / 110
    assert once.given_up == "controller does not answer"


def test_what_workers_said_last_is_told_and_not_what_those_of_a_former_sweep_said(tmp_path: Path) -> None:
    log = tmp_path / "workers.out"
    for said in ("no such module", "no way to the host"):
        executor, handle = Executor(), FailedBlocks(log)
        for _ in range(FAILURES):
            executor.block(JobState.MISSING)
            with log.open("a") as stream:
                stream.write(f"Traceback\n  ...\nOSError: {said}\n")
            handle(executor, executor.status)
        assert f"  last words of the workers: OSError: {said}\n  see {log}" in executor.given_up
    executor, handle = Executor(), FailedBlocks(log)
    for _ in range(FAILURES):
        executor.block(JobState.MISSING)
        handle(executor, executor.status)
    assert "last words" not in executor.given_up


def test_an_interchange_is_told_to_end_before_parsl_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(HighThroughputExecutor, "shutdown", lambda *_: order.append("waited for"))
    executor = GuardedExecutor(address="127.0.0.1")
    executor.before_shutdown = lambda: order.append("told")
    executor.shutdown()
    assert order == ["told", "waited for"]


def test_what_becomes_of_jobs_is_told_once() -> None:
    executor, news = Executor(), JobNews()
    assert news(executor) == []
    executor.blocks_to_job_id["0"] = "17"
    assert news(executor) == []
    for state, told in [
        (JobState.PENDING, "waits for its nodes"),
        (JobState.HELD, "is held"),
        (JobState.RUNNING, "runs"),
    ]:
        executor.status_facade["0"] = JobStatus(state)
        assert [news(executor), news(executor)] == [[f"job 17 of the cluster {told}"], []]
    executor.status_facade["0"] = JobStatus(JobState.UNKNOWN)
    assert news(executor) == []
    executor.status_facade["0"] = JobStatus(JobState.TIMEOUT)
    assert news(executor) == [
        "job 17 of the cluster was ended by the cluster, at its time limit or to make room for others"
    ]
    executor.status_facade["0"] = JobStatus(JobState.COMPLETED)
    assert news(executor) == []
