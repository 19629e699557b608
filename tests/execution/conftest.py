"""A small study, prepared data without pixels, workers in this process."""

import contextlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # children find the fakes through PYTHONPATH, this process here

from studies import prepare_all, small_study

from jaxseg.config import Locations, Study
from jaxseg.execution import work
from jaxseg.execution.lease import Lease
from jaxseg.execution.pool import OpenPool
from jaxseg.execution.sweep import Sweep


class InlinePool:
    """Does each run at once, in this process."""

    def submit(self, assignment: work.Assignment) -> "Future[work.Outcome]":
        future: Future[work.Outcome] = Future()
        future.set_result(work.work(assignment))
        return future

    def check(self) -> None:
        """Nothing here can be lost."""

    def news(self) -> list[str]:
        return []


@contextlib.contextmanager
def open_inline(lease: Lease) -> Iterator[InlinePool]:
    yield InlinePool()


@contextlib.contextmanager
def open_none(lease: Lease) -> Iterator[InlinePool]:
    raise AssertionError("nothing is left to do, no worker may start")
    yield InlinePool()


@pytest.fixture(autouse=True)
def _keep_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(work, "_prepared", True)  # the environment of the tests stays as it is
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    here = Path(__file__)  # and not a copy of the package that is installed
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here.parent), str(here.parents[2])]))


@pytest.fixture
def study() -> Study:
    return small_study()


@pytest.fixture
def locations(tmp_path: Path) -> Locations:
    return Locations(prepare_all(tmp_path / "data"), tmp_path / "weights")


def sweep(study: Study, folder: Path, locations: Locations, open_pool: OpenPool = open_inline, **rest: Any) -> Sweep:
    return Sweep(study, folder, locations, open_pool, complete="fake_program", analyze="fake_program", **rest)
