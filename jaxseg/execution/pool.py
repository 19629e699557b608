"""Warm workers through Parsl: one process per accelerator, on this host or on a Slurm cluster."""

import contextlib
import functools
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jaxseg.errors import StoppedError
from jaxseg.execution.failing_gpus import was_handed_back
from jaxseg.execution.guard import signals_held_back
from jaxseg.execution.lease import Lease, guarded
from jaxseg.execution.resources import Resources
from jaxseg.execution.slurm import PLAIN, Slurm
from jaxseg.execution.work import Assignment, Outcome, work
from jaxseg.execution.workers import ANY, OWN
from jaxseg.files import disk_errors
from jaxseg.run_folder import LATEST, RunFolder

if TYPE_CHECKING:
    from parsl import Config
    from parsl.dataflow.dflow import DataFlowKernel
    from parsl.providers.base import ExecutionProvider

    from jaxseg.execution.blocks import FailedBlocks, GuardedExecutor, JobNews

RETRIES = 2  # of a run whose worker was killed; what a run raises itself is its outcome and is not retried
UNTRIED = 0.2  # of a retry: what it costs a run that a worker with a failing GPU did not try
HEARTBEAT = 5  # seconds; also how soon a killed worker is replaced
PATIENCE = 120  # seconds without a sign of life after which a pool of workers counts as lost, and its runs begin again
POLL = 100  # milliseconds; a message wakes Parsl at once, and looking for some every 10 takes 2 % of a core
FOLDER = ".parsl"
WORKERS_LOG, INTERCHANGE_LOG = "workers.out", "interchange.out"


class Pool(Protocol):
    """Takes assignments; the futures give outcomes, or raise when a worker was lost too often."""

    def submit(self, assignment: Assignment) -> "Future[Outcome]": ...

    def check(self) -> None:
        """`StoppedError` where no future can end any more."""

    def news(self) -> list[str]:
        """Of a cluster's jobs, for people, since this was last asked."""


OpenPool = Callable[[Lease], AbstractContextManager[Pool]]


class Retries:
    """Parsl's retry handler: what the loss of its worker costs a run, of `RETRIES`.

    Nothing where the run has a newer checkpoint than when it was handed in or last lost, so that it resumes however
    many Slurm jobs end at their time limit.
    """

    def __init__(self) -> None:
        self._reached: dict[str, str] = {}

    def note(self, assignment: Assignment) -> bool:
        """Note how far a run is; whether that is further than before."""
        run = assignment.run
        reached = max(
            (file.name for file in RunFolder.of(assignment.study, run).checkpoints.glob(f"{LATEST}*")), default=""
        )
        former, self._reached[run.run_id] = self._reached.get(run.run_id, ""), reached
        return reached > former

    def __call__(self, error: Exception, task: Any) -> float:
        (assignment,) = task["args"]
        if _lost(error):
            with contextlib.suppress(OSError):
                (assignment.marks / assignment.run.run_id).unlink()  # which a killed worker leaves
        if was_handed_back(assignment.marks, assignment.run.run_id):
            return UNTRIED
        return 0.0 if self.note(assignment) and _lost(error) else 1.0


def _lost(error: BaseException) -> bool:
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    return isinstance(error, ManagerLost | WorkerLost)


def why_not_run(error: BaseException, folder: RunFolder) -> str:
    """What is told of a run whose future raised an error; what goes wrong within a run does not."""
    about = f"{type(error).__name__}: {error}"
    if _lost(error) and folder.error.exists():  # written by a worker that left its GPU
        return f"its workers ended again and again: {folder.read_error()}"
    if _lost(error):
        return f"the worker was lost again and again, killed or out of memory: {about}"
    return f"no worker could take it: {about}"


@contextlib.contextmanager
def parsl_pool(study: Path, resources: Resources, slurm: Slurm | None, lease: Lease) -> Iterator[Pool]:
    """Start workers for a held study and end them with the block.

    An interrupt (a second Ctrl-C) or a lost interchange ends this process at once: the guards then end everything that
    it started, and Parsl would wait for what does not answer.
    """
    if slurm:
        slurm.check(study)
    from parsl.dataflow.dflow import DataFlowKernel  # half a second, which a dry run need not pay

    from jaxseg.execution.blocks import FailedBlocks, JobNews

    logging.raiseExceptions = False  # on a full disk Python would print a traceback for each line that Parsl logs
    retries, failed_blocks = Retries(), FailedBlocks(parsl_folder(study) / WORKERS_LOG)
    executor = _executor(study, resources, slurm, lease, failed_blocks)
    with disk_errors(study), signals_held_back():
        kernel = DataFlowKernel(_config(study, executor, retries))
    try:
        yield _ParslPool(kernel, executor, retries, failed_blocks, JobNews() if slurm else None)
    except (KeyboardInterrupt, StoppedError) as why:
        print(str(why) or "stopped; repeat the command to resume", file=sys.stderr, flush=True)
        os._exit(StoppedError.exit_code)
    finally:
        lease.end(parsl_folder(study) / WORKERS_LOG)
        kernel.cleanup()


@dataclass(frozen=True)
class _ParslPool:
    kernel: "DataFlowKernel"
    executor: "GuardedExecutor"
    retries: Retries
    failed_blocks: "FailedBlocks"
    jobs: "JobNews | None"

    def submit(self, assignment: Assignment) -> "Future[Outcome]":
        self.retries.note(assignment)
        future: Future[Outcome] = self.kernel.submit(
            work, app_args=(assignment,), executors="all", cache=False, ignore_for_cache=None, app_kwargs={}
        )
        future.add_done_callback(self._done)
        return future

    def _done(self, future: "Future[Outcome]") -> None:
        if future.exception() is None:
            self.failed_blocks.reset()

    def check(self) -> None:
        interchange = self.executor.interchange_proc
        if interchange is not None and interchange.poll() is not None:
            raise StoppedError(
                "the process that hands out the runs has ended, killed or out of memory: Parsl's interchange",
                remedy="repeat the command to resume",
            )

    def news(self) -> list[str]:
        return self.jobs(self.executor) if self.jobs is not None else []


def marks_folder(study: Path) -> Path:
    """Where workers mark the runs that they are at; see `failing_gpus.Marks`."""
    return study / FOLDER / "running"


@functools.cache  # of an odd path one folder, and not a new one at each call
def parsl_folder(study: Path) -> Path:
    """Parsl's own files; it does not quote paths in its scripts, so odd ones are avoided."""
    return study / FOLDER if PLAIN.fullmatch(str(study)) else Path(tempfile.mkdtemp(prefix="jaxseg-"))


def _config(study: Path, executor: "GuardedExecutor", retries: Retries) -> "Config":
    from parsl import Config

    return Config(
        executors=[executor],
        retries=RETRIES,
        retry_handler=retries,
        run_dir=str(parsl_folder(study)),
        strategy="simple",  # replaces a block of workers that ended, such as a Slurm job at its time limit
        strategy_period=1,
        usage_tracking=0,
    )


def _executor(
    study: Path, resources: Resources, slurm: Slurm | None, lease: Lease, failed_blocks: "FailedBlocks"
) -> "GuardedExecutor":
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

    from jaxseg.execution.blocks import GuardedExecutor

    address = slurm.host() if slurm else "127.0.0.1"
    pool = shlex.join([sys.executable, "-m", "jaxseg.execution.workers"])
    launch = DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", pool, 1)
    logs = parsl_folder(study)
    guard = shlex.join(guarded(lease, logs / WORKERS_LOG))
    guard = guard.replace("{", "{{{{").replace("}", "}}}}")  # Parsl formats the line twice
    executor = GuardedExecutor(
        label="workers",
        # without an address Parsl asks a server on the internet for this host's
        address=address,
        provider=_provider(resources, slurm),
        launch_cmd=f"{guard} {launch}",
        interchange_launch_cmd=[
            *guarded(lease, logs / INTERCHANGE_LOG),
            *(sys.executable, "-m", "jaxseg.execution.interchange"),
        ],
        cores_per_worker=1e-6,  # the number of workers alone decides
        max_workers_per_node=resources.workers,
        available_accelerators=list(resources.gpus),
        cpu_affinity=OWN if resources.workers > 1 and not resources.gpus else ANY,
        poll_period=POLL,
        heartbeat_period=HEARTBEAT,
        heartbeat_threshold=PATIENCE,
        block_error_handler=failed_blocks,
    )
    executor.before_shutdown = functools.partial(lease.end, logs / INTERCHANGE_LOG)
    return executor


def _provider(resources: Resources, slurm: Slurm | None) -> "ExecutionProvider":
    from parsl.launchers import SimpleLauncher
    from parsl.providers import LocalProvider

    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in resources.environment().items())
    if slurm is None:
        return LocalProvider(launcher=SimpleLauncher(), worker_init=exports)
    return slurm.provider(len(set(resources.gpus)), exports)
