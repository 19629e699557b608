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
FAILING, WORKING, HANDED_BACK = ".failing-*", ".working-*", ".handed-back-*"  # and others beside them


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors of the device as `DeviceError`, that it cannot be used too; on CPUs, where they tell of us, they pass."""
    from jaxseg.compute.device import check_platform, on_cpu  # which import JAX

    check_platform()
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "JaxRuntimeError" or on_cpu():
            raise
        remedy = "repeat the command to resume; where the GPU's memory is full, let nobody else use it, or train with"
        remedy += " a smaller batch; python launch/doctor.py tells more"
        if one_graph.doubt(str(error)):
            remedy = "repeat the command to resume: it does not take a training step as one CUDA graph any more"
            remedy += f", unless {one_graph.ONE_GRAPH} is set by hand"
        raise DeviceError(f"the GPU failed: {error}", remedy=remedy) from error


@dataclass(frozen=True)
class Marks:
    """Folder in which each worker of a sweep leaves a file named after its run, and a file for each failing GPU.

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
        write_json(mark, {"host": self.host, "gpu": self.gpu, "pid": os.getpid()})
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def failed(self, problem: str) -> None:
        """Note that this worker's GPU has failed once more."""
        times = self._times() + 1 if self._own.exists() else 1
        write_json(self._own, {"times": times, "host": self.host, "gpu": self.gpu, "problem": problem})

    def worked(self) -> None:
        self._own.unlink(missing_ok=True)
        if self.gpu:
            write_json(_file(self.folder, WORKING, self.host, self.gpu), {"host": self.host, "gpu": self.gpu})

    def may_try(self, run_id: str, should_stop: Callable[[], bool]) -> bool:
        """Where this worker's GPU has failed, leave runs to others for a while.

        Returns:
            False where the run is theirs now, who have worked before and are idle.
        """
        if not self._own.exists():
            return True
        now = time.time()
        until = now + min(FIRST_WAIT * 2 ** (self._times() - 1), LONGEST_WAIT)
        alone_from = now + ALONE if self._others(WORKING) or self._others(AT_WORK) else now
        while now < min(until, alone_from) and not should_stop():
            time.sleep(LOOK)
            now = time.time()
            alone_from = now + ALONE if self._others(AT_WORK) else alone_from
        if now >= until or should_stop() or not self._others(WORKING):
            return True
        (self.folder / HANDED_BACK.replace("*", run_id)).touch()
        return False

    def _times(self) -> int:
        return int(_content(self._own).get("times", 1))

    def _others(self, kind: str) -> bool:
        """Whether any of these files is of a GPU that has not failed last."""
        places = {(str(told["host"]), str(told["gpu"])) for told in map(_content, self.folder.glob(kind)) if told}
        return any(not _file(self.folder, FAILING, host, gpu).exists() for host, gpu in places)


def was_handed_back(folder: Path, run_id: str) -> bool:
    """Whether a worker ended without having tried the run; tells so once."""
    file = folder / HANDED_BACK.replace("*", run_id)
    told = file.exists()
    file.unlink(missing_ok=True)
    return told


def _file(folder: Path, kind: str, host: str, gpu: str) -> Path:
    return folder / kind.replace("*", f"{host}-{gpu.replace('/', '_')}")  # as in "MIG-GPU-…/3/0"


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
