"""One run in a worker: held, completed, its failure written down."""

import dataclasses
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from jaxseg.config import Locations, Recipe, Study
from jaxseg.execution import work as module
from jaxseg.execution.failing_gpus import Marks, problems
from jaxseg.execution.lease import Lease, Watch, hold_study
from jaxseg.execution.work import Assignment, StopCheck, work
from jaxseg.files import write_text
from jaxseg.run_folder import RunFolder


def assignment(study: Study, folder: Path, locations: Locations, lease: Lease) -> Assignment:
    return Assignment(
        study=folder,
        run=study.runs()[0],
        tested_on=("site_a",),
        keeps=("mine",),
        data_dir=locations.data,
        weights_dir=locations.weights,
        program="fake_program",
        lock=lease.path,
        token=lease.token,
        marks=folder / "marks",
    )


def test_completes_keeps_the_encoder_and_takes_its_mark_away(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    with hold_study(tmp_path) as lease:
        given = assignment(study, tmp_path, locations, lease)
        folder = RunFolder.of(tmp_path, given.run)
        write_text(folder.error, "the GPU of the worker before failed\n")
        assert work(given).state == "done"
        assert folder.config() == given.run
        assert not folder.error.exists()
        kept = (tmp_path / "weights" / "mine" / "receipt.json").stat().st_mtime_ns
        assert list((tmp_path / "marks").iterdir()) == []
        assert work(given).state == "done", "a second time it is there already"
        assert (tmp_path / "ended.txt").read_text().count("\n") == 1
        again = (tmp_path / "weights" / "mine" / "receipt.json").stat().st_mtime_ns
        assert again == kept, "nor are its weights written anew"


def test_waits_for_a_run_that_another_process_holds(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEFTOVERS", 0.5)
    with hold_study(tmp_path) as lease:
        given = assignment(study, tmp_path, locations, lease)
        folder = RunFolder.of(tmp_path, given.run)
        folder.create(given.run)
        with folder.hold():
            began = time.monotonic()
            outcome = work(given)
            assert time.monotonic() - began > 0.5
        assert outcome.state == "failed"
        assert "another process" in outcome.message
        assert not (tmp_path / "started.txt").exists()


def test_a_stop_is_heard_while_another_process_holds_the_run(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEFTOVERS", 5.0)
    monkeypatch.setattr(module, "LOOK", 0.05)
    with hold_study(tmp_path) as lease:
        given = assignment(study, tmp_path, locations, lease)
        folder = RunFolder.of(tmp_path, given.run)
        folder.create(given.run)
        with folder.hold():
            threading.Timer(0.3, lease.ask_to_stop).start()
            assert work(given).state == "stopped"


def test_unexpected_errors_are_outcomes_too(study: Study, tmp_path: Path, locations: Locations) -> None:
    with hold_study(tmp_path) as lease:
        given = assignment(study, tmp_path, locations, lease)
        outcome = work(type(given)(**{**given.__dict__, "program": "no_such_program"}))
    assert outcome.state == "failed"
    assert "ModuleNotFoundError" in outcome.message
    assert RunFolder.of(tmp_path, given.run).error.read_text().rstrip().endswith(outcome.message)


def test_a_worker_is_prepared_once_and_for_its_first_run(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[Recipe] = []
    monkeypatch.setattr(module, "_prepared", False)
    monkeypatch.setattr(module, "prepare_process", prepared.append)
    with hold_study(tmp_path) as lease:
        given = assignment(study, tmp_path, locations, lease)
        for _ in range(2):
            assert work(given).state == "done"
    assert prepared == [given.run.recipe]


def test_a_worker_of_a_job_sees_what_the_job_was_given(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_prepared", False)
    monkeypatch.setattr(module, "prepare_process", lambda recipe: None)
    monkeypatch.setattr(module, "_end_with_sweep", lambda watch: None)
    monkeypatch.setenv("PARSL_WORKER_RANK", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # Parsl's own choice
    monkeypatch.setenv("JAXSEG_JOB_GPUS", "2,3")
    with hold_study(tmp_path) as lease:
        given = dataclasses.replace(assignment(study, tmp_path, locations, lease), gpus=("0", "1"))
        assert work(given).state == "done"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_a_gpu_on_which_a_run_ends_well_counts_as_failing_no_more(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with hold_study(tmp_path) as lease:
        given = dataclasses.replace(assignment(study, tmp_path, locations, lease), gpus=("0", "1"))
        Marks(given.marks, socket.gethostname(), "1").failed("out of memory")
        assert work(given).state == "done"
    assert problems(given.marks) == {}


@pytest.mark.parametrize("gpus", [(), ("1",)])
def test_a_worker_leaves_its_gpu_where_that_fails_and_no_cpu(
    gpus: tuple[str, ...], study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []
    monkeypatch.setattr(module, "_end_process", lambda: left.append("its GPU"))
    monkeypatch.setenv("PARSL_WORKER_RANK", "0")
    for name in ("CUDA_VISIBLE_DEVICES", "FAKE_BROKEN"):
        monkeypatch.setenv(name, "".join(gpus))
    with hold_study(tmp_path) as lease:
        given = dataclasses.replace(assignment(study, tmp_path, locations, lease), gpus=gpus)
        outcome = work(given)
    assert (outcome.state, len(left)) == ("failed", len(gpus))
    assert list(problems(given.marks).values()) == [outcome.message] * len(gpus)


def test_a_worker_whose_sweep_is_gone_has_time_to_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[float] = []
    monkeypatch.setattr(module, "GRACE", 0.3)
    monkeypatch.setattr(os, "_exit", lambda code: ended.append(time.monotonic()))
    with hold_study(tmp_path) as lease:
        watch = Watch(lease.path, lease.token)
    began = time.monotonic()
    module._end_with_sweep(watch)
    assert 0.3 <= ended[0] - began < 2


def test_nothing_starts_for_a_sweep_that_is_gone(study: Study, tmp_path: Path, locations: Locations) -> None:
    with hold_study(tmp_path) as lease:
        given = assignment(study, tmp_path, locations, lease)
    assert work(given).state == "stopped"
    assert not (tmp_path / "runs").exists()


def test_stop_check_looks_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.1)
    with hold_study(tmp_path) as lease:
        check = StopCheck(Watch(lease.path, lease.token))
        assert not check()
        lease.ask_to_stop()
        assert not check(), "not looked yet"
        time.sleep(0.15)
        assert check()
