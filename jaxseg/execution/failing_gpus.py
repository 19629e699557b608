"""GPUs that fail: what is told of it, and how a sweep keeps its runs away from one while others work.

A run that fails on a GPU may end well on another. But CUDA gives a process no GPU back that has failed in it, and a
broken GPU fails so soon that its worker would take, and fail, run after run while the others are at their first. So
such a worker ends, which gives its run to whoever is free and the GPU a new process. With the next run that one waits,
longer each time, as long as workers of other GPUs are at work; where they have nothing left to do, it hands it back.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxseg.errors import DeviceError
from jaxseg.execution import one_graph
from jaxseg.files import write_json

FIRST_WAIT, LONGEST_WAIT = 60.0, 1800.0  # seconds until the next run is tried, doubled after each failure
ALONE = 10.0  # seconds without another GPU at work until it is not waited for any more
LOOK = 0.5  # seconds
AT_WORK = "[!.]*"  # names of the files that workers leave, of those who are at a run
FAILING, WORKING = ".failing-*", ".working-*"  # and others beside them, one for each GPU,
HANDED_BACK, RETURNED = ".handed-back-*", ".returned-*"  # or for each run that one has handed back


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors of the device as `DeviceError`, that it cannot be used too; on CPUs, where they tell of us, they pass."""
    from jax.errors import JaxRuntimeError  # not before a worker has set what JAX reads

    from jaxseg.compute.device import check_platform, on_cpu

    check_platform()
    try:
        yield
    except JaxRuntimeError as error:
        if on_cpu():
            raise
        remedy = "repeat the command to resume; where the GPU's memory is full, let nobody else use it, or train with"
        remedy += " a smaller batch; python launch/doctor.py tells more"
        if one_graph.doubt(str(error)):
            remedy = "repeat the command to resume: it does not take a training step as one CUDA graph from now on"
            remedy += f", unless {one_graph.ONE_GRAPH} is set by hand"
        raise DeviceError(f"the GPU failed: {error}", remedy=remedy) from error


@dataclass(frozen=True)
class Marks:
    """Folder in which the workers of a sweep leave files for each other:

        RUN                    a worker is at this run; it removes the file at the run's end
        .failing-HOST-GPU      a run failed on this GPU; who ends one there removes the file
        .working-HOST-GPU      a run has ended well on it, last when the file was written
        .handed-back-RUN       a worker of a failing GPU leaves this run to others, and ends; the sweep makes it
        .returned-RUN          when it hands the run out again

    Attributes:
        folder: of the sweep; all its hosts see it.
        host, gpu: of this worker; the GPU as in CUDA_VISIBLE_DEVICES, empty on CPUs.
    """

    folder: Path
    host: str
    gpu: str

    @property
    def _own(self) -> Path:
        return _file(self.folder, FAILING, self.host, self.gpu)

    @contextlib.contextmanager
    def at(self, run_id: str) -> Iterator[None]:
        """Mark the run that this worker is at."""
        mark = self.folder / run_id
        write_json(mark, {**self._place, "pid": os.getpid()})
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def failed(self, problem: str) -> None:
        """Note that this worker's GPU has failed once more."""
        times = self._times() + 1 if self._own.exists() else 1
        write_json(self._own, {**self._place, "times": times, "problem": problem})

    def worked(self) -> None:
        self._own.unlink(missing_ok=True)
        if self.gpu:
            write_json(_file(self.folder, WORKING, self.host, self.gpu), self._place)

    def may_try(self, run_id: str, should_stop: Callable[[], bool]) -> bool:
        """Where this worker's GPU has failed, leave runs to others for a while, or until one that shares it has worked.

        Returns:
            False where the run is theirs now, who have worked since and are idle. A GPU hands each back but once: who
            has worked may be gone, as with a cluster's job.
        """
        if not self._own.exists() or self._has_handed_back(run_id):
            return True
        now = time.time()
        until = now + min(FIRST_WAIT * 2 ** (self._times() - 1), LONGEST_WAIT)
        alone_from = now + ALONE if self._others(AT_WORK) or self._others_have_worked() else now
        while now < min(until, alone_from) and self._own.exists() and not should_stop():
            time.sleep(LOOK)
            now = time.time()
            alone_from = now + ALONE if self._others(AT_WORK) else alone_from
        if now >= until or not self._own.exists() or should_stop() or not self._others_have_worked():
            return True
        write_json(_file(self.folder, HANDED_BACK, run_id), self._place)
        return False

    @property
    def _place(self) -> dict[str, str]:
        return {"host": self.host, "gpu": self.gpu}

    def _has_handed_back(self, run_id: str) -> bool:
        return _content(_file(self.folder, RETURNED, run_id)) == self._place

    def _times(self) -> int:
        return int(_content(self._own).get("times", 1))

    def _others_have_worked(self) -> bool:
        """Whether any has ended a run since this one failed."""
        return self._others(WORKING, since=_written(self._own))

    def _others(self, kind: str, since: int = 0) -> bool:
        """Whether any of these files, written since then, is of a GPU that has not failed last."""
        told = [_content(file) for file in self.folder.glob(kind) if _written(file) > since]
        places = {(str(each["host"]), str(each["gpu"])) for each in told if each}
        return any(not _file(self.folder, FAILING, *place).exists() for place in places)


def was_handed_back(folder: Path, run_id: str) -> bool:
    """Whether a worker ended without having tried the run; tells so once."""
    try:
        _file(folder, HANDED_BACK, run_id).replace(_file(folder, RETURNED, run_id))
        return True
    except OSError:
        return False


def _written(file: Path) -> int:
    """When, in nanoseconds; 0 where it has gone meanwhile."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _file(folder: Path, kind: str, *names: str) -> Path:
    return folder / kind.replace("*", "-".join(names).replace("/", "_"))  # as in "MIG-GPU-…/3/0"


def problems(folder: Path) -> dict[str, str]:
    """What failed by "host, GPU number", as the workers of a sweep have noted it."""
    found = [_content(file) for file in folder.glob(FAILING)] if folder.exists() else []
    return {f"GPU {each['gpu']} of {each['host']}": str(each["problem"]) for each in found if each}


def _content(file: Path) -> dict[str, Any]:
    """{} where it has gone meanwhile."""
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError):
        return {}
