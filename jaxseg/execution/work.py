"""What a worker does with one run: hold it, complete it, say how it went. Imports JAX only with the program."""

import contextlib
import importlib
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from jaxseg.compute.gpus import JOB_GPUS, of_worker
from jaxseg.config import RunConfig
from jaxseg.errors import DeviceError, InputError, JaxsegError, StoppedError
from jaxseg.execution.failing_gpus import Marks
from jaxseg.execution.lease import GRACE, Watch
from jaxseg.execution.plan import study_weights
from jaxseg.execution.start import prepare_process
from jaxseg.files import write_text
from jaxseg.models.receipt import FILE_NAME as RECEIPT
from jaxseg.run_folder import RunFolder

LEFTOVERS = 60.0  # seconds to wait for a run that the worker of a killed sweep still holds
LOOK = 0.5  # seconds between two looks at the lease
RANK = "PARSL_WORKER_RANK"  # variable of Parsl's workers: their number on their host


@dataclass(frozen=True)
class Assignment:
    """One run for one worker.

    Attributes:
        program: module with `complete` and `keep_encoder` (see `jaxseg.execution.complete`).
        lock, token: lease of the sweep (see `jaxseg.execution.lease`).
        marks: folder where workers tell which runs they are at (see `jaxseg.execution.failing_gpus`).
        gpus: as in `Resources`; indexed by the worker's rank.
    """

    study: Path
    run: RunConfig
    tested_on: tuple[str, ...]
    keeps: tuple[str, ...]
    data_dir: Path
    weights_dir: Path
    program: str
    lock: Path
    token: str
    marks: Path
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `message` is one paragraph for people."""

    state: Literal["done", "stopped", "failed"]
    message: str = ""


class StopCheck:
    """Callable for `complete`: true when the sweep asks to stop or is gone. Looks at the file now and then."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._next = 0.0
        self._stopping = False

    def __call__(self) -> bool:
        if not self._stopping and time.monotonic() >= self._next:
            self._stopping = self._watch.stopping()
            self._next = time.monotonic() + LOOK
        return self._stopping


def work(assignment: Assignment) -> Outcome:
    """Complete one run. Never raises: what goes wrong is the outcome, and stands in the run's error.txt."""
    folder = RunFolder.of(assignment.study, assignment.run)
    should_stop = StopCheck(Watch(assignment.lock, assignment.token))
    try:
        if should_stop():
            return Outcome("stopped")
        _prepare_process(assignment)
        marks = _marks(assignment)
        if not marks.may_try(assignment.run.run_id, should_stop):
            _end_process()
        with marks.at(assignment.run.run_id):
            folder.create(assignment.run)
            _complete(assignment, folder, should_stop)
        marks.worked()
    except StoppedError:
        return Outcome("stopped")
    except DeviceError as error:
        outcome = failed(folder, error)
        if assignment.gpus and RANK in os.environ:
            with contextlib.suppress(OSError, InputError):  # a full disk
                _marks(assignment).failed(outcome.message)
            _end_process()
        return outcome
    except Exception as error:
        return failed(folder, error)
    return Outcome("done")


def _end_process() -> NoReturn:
    """Another worker gets the run then, and this one's GPU another process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(DeviceError.exit_code)


def failed(folder: RunFolder, error: BaseException) -> Outcome:
    """Write error.txt; its last paragraph is the message."""
    message = str(error) if isinstance(error, JaxsegError) else f"{type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error)) + f"\n{message}\n"
    with contextlib.suppress(OSError, InputError):  # a full disk must not hide why the run failed
        write_text(folder.error, text)
    return Outcome("failed", message)


def _complete(assignment: Assignment, folder: RunFolder, should_stop: StopCheck) -> None:
    with _held(folder, should_stop):
        folder.error.unlink(missing_ok=True)
        program = importlib.import_module(assignment.program)
        if not folder.is_done(assignment.tested_on):
            program.complete(
                folder,
                assignment.run,
                assignment.tested_on,
                assignment.data_dir,
                assignment.weights_dir,
                should_stop,
            )
        kept = study_weights(assignment.study)
        for name in assignment.keeps:
            if not (kept / name / RECEIPT).is_file():
                program.keep_encoder(folder, name, kept)


@contextlib.contextmanager
def _held(folder: RunFolder, should_stop: StopCheck) -> Iterator[None]:
    """Hold the run; wait for what a killed sweep left behind, which ends within seconds."""
    deadline = time.monotonic() + LEFTOVERS
    while True:
        with folder.hold() as held:
            if held:
                yield
                return
        if should_stop():
            raise StoppedError("stopped while waiting for the run")
        if time.monotonic() > deadline:
            raise folder.taken()
        time.sleep(0.2)


def _marks(assignment: Assignment) -> Marks:
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") if assignment.gpus else ""
    return Marks(assignment.marks, socket.gethostname(), gpu)


_prepared = False


def _prepare_process(assignment: Assignment) -> None:
    """Once per worker, before JAX is imported: its device, its cache, and an eye on the sweep."""
    global _prepared
    if _prepared:
        return
    rank = os.environ.get(RANK)
    if assignment.gpus and rank is not None:
        # Parsl's own choice is wrong where several workers share a GPU that is not the first
        gpu = of_worker(assignment.gpus, int(rank), os.environ.get(JOB_GPUS, ""))
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    if rank is not None:
        watch = Watch(assignment.lock, assignment.token)
        threading.Thread(target=_end_with_sweep, args=(watch,), daemon=True, name="end-with-sweep").start()
    prepare_process(assignment.run.recipe)
    _prepared = True


def _end_with_sweep(watch: Watch) -> None:
    """The guard ends workers of a lost sweep; this does where the guard itself was killed."""
    while not watch.gone():
        time.sleep(2.0)
    time.sleep(GRACE)
    os._exit(1)
