"""What a sweep does with its runs, with workers in this process."""

import contextlib
import dataclasses
import io
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from conftest import InlinePool, open_none, sweep
from parsl.executors.high_throughput.errors import WorkerLost
from rich.console import Console
from studies import small_study

from jaxseg.analysis.fingerprint import finished, keep_record
from jaxseg.config import Locations, Study
from jaxseg.errors import InputError, RunsFailedError, StoppedError, UsageError
from jaxseg.execution import compile_cache
from jaxseg.execution.failing_gpus import Marks
from jaxseg.execution.lease import Lease, hold_study
from jaxseg.execution.plan import stored_study
from jaxseg.execution.pool import FOLDER
from jaxseg.execution.work import Assignment, Outcome
from jaxseg.files import read_json, write_json, write_text
from jaxseg.run_folder import RunFolder


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def test_weights_first_then_the_grid_then_the_report(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    sweep(study, folder, locations).run()
    ended = lines(folder / "ended.txt")
    runs = study.runs()
    assert Counter(ended) == Counter([study.trained_weights[0].run.run_id, *(run.run_id for run in runs)])
    assert all(RunFolder.of(folder, run).is_done(("site_a", "site_b")) for run in runs)
    assert (folder / "weights" / "nuclei" / "receipt.json").is_file()
    assert (folder / "report.html").is_file()
    assert not (folder / ".parsl").exists()


def test_repeating_a_finished_sweep_changes_no_byte(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    sweep(study, folder, locations).run()
    before = snapshot(folder)
    sweep(study, folder, locations, open_none).run()
    assert snapshot(folder) == before


def test_grown_study_runs_only_what_is_new(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    sweep(study, folder, locations).run()
    before = set(lines(folder / "ended.txt"))
    grown = small_study(repeats=2)
    sweep(grown, folder, locations).run()
    counts = Counter(lines(folder / "ended.txt"))
    assert set(counts) - before == {run.run_id for run in grown.runs() if run.repeat == 1}
    assert max(counts.values()) == 1
    assert len(lines(folder / "analysed.txt")) == 2, "a new report"


def test_failed_run_is_named_and_stops_no_other(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    monkeypatch.setenv("FAKE_FAIL", "site_a-random-f50")
    with pytest.raises(RunsFailedError, match=r"1 run failed\nsite_a-random-f50(.|\n)*image.png: cannot be decoded"):
        sweep(study, folder, locations).run()
    assert len(lines(folder / "ended.txt")) == 4
    error = RunFolder.of(folder, study.runs()[0]).error.read_text()
    assert "Traceback" in error
    assert "remedy:   replace the image" in error
    assert (folder / "report.html").exists(), "the others are analysed"
    monkeypatch.delenv("FAKE_FAIL")
    sweep(study, folder, locations).run()
    assert not RunFolder.of(folder, study.runs()[0]).error.exists()
    assert set(Counter(lines(folder / "ended.txt")).values()) == {1}


def test_runs_whose_weights_failed_are_given_up(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAIL", "cells-random")
    with pytest.raises(RunsFailedError, match=r"3 runs failed(.|\n)*its weights could not be trained") as raised:
        sweep(study, tmp_path / "study", locations).run()
    told = str(raised.value)
    assert told.count("its weights could not be trained") == 1, "once for both"
    assert [Path(file).exists() for file in re.findall(r"see (\S+)", told)] == [True], "no file of runs not tried"
    assert len(lines(tmp_path / "study" / "ended.txt")) == 2


def test_what_lacks_data_is_listed_and_the_rest_runs(study: Study, tmp_path: Path, locations: Locations) -> None:
    shutil.rmtree(locations.data / "cells")
    with pytest.raises(RunsFailedError, match=r"3 runs could not start(.|\n)*cells"):
        sweep(study, tmp_path / "study", locations).run()
    assert len(lines(tmp_path / "study" / "ended.txt")) == 2
    with pytest.raises(InputError, match="3 runs could not start"):  # the rest is done, nothing ran
        sweep(study, tmp_path / "study", locations, open_none).run()


def test_nothing_can_start_without_data(study: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run could start(.|\n)*prepare"):
        sweep(study, tmp_path / "study", Locations(tmp_path / "none", tmp_path / "none"), open_none).run()
    assert not (tmp_path / "study").exists()


def test_stop_leaves_the_rest_for_the_next_time(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    with pytest.raises(StoppedError, match="resume"):
        sweep(study, folder, locations, should_stop=lambda: True).run()
    assert len(lines(folder / "ended.txt")) == 3, "what was waiting did not start"
    sweep(study, folder, locations).run()
    assert set(Counter(lines(folder / "ended.txt")).values()) == {1}
    assert len(lines(folder / "ended.txt")) == 5


def test_lost_report_is_written_again_without_workers(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    sweep(study, folder, locations, analyse=False).run()
    assert not (folder / "report.html").exists()
    sweep(study, folder, locations, open_none).run()
    assert (folder / "report.html").exists()


def test_a_report_that_lacks_features_is_made_again(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    sweep(study, folder, locations).run()
    keep_record(folder, None, [folder / "report.html"], (), finished(folder))  # as where a model could not be opened
    sweep(study, folder, locations, open_none).run()
    assert len(lines(folder / "analysed.txt")) == 2
    sweep(study, folder, locations, open_none).run()
    assert len(lines(folder / "analysed.txt")) == 2


def test_a_report_is_as_old_as_what_it_was_made_from_whatever_the_clocks_say(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    folder = tmp_path / "study"
    sweep(study, folder, locations).run()
    for name in ("report.html", "analysis.json"):
        os.utime(folder / name, (2e9, 2e9))
    done = RunFolder.of(folder, study.runs()[0]).done
    write_json(done, {**read_json(done, remedy=""), "images_per_second": 11.0})  # as where it was scored on more
    sweep(study, folder, locations, open_none).run()
    assert len(lines(folder / "analysed.txt")) == 2


def test_failed_runs_are_named_where_the_analysis_fails_too(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAIL", "site_a-random-f50")
    monkeypatch.setenv("FAKE_FAIL_ANALYSIS", "1")
    failed = r"1 run failed\nsite_a-random-f50(.|\n)*image.png: cannot be decoded(.|\n)*the analysis of the finished"
    with pytest.raises(RunsFailedError, match=failed):
        sweep(study, tmp_path / "study", locations).run()


def test_an_edited_study_is_analysed_anew_where_nothing_is_left_to_train(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    folder = tmp_path / "study"
    sweep(study, folder, locations).run()
    edited = dataclasses.replace(study, title="Another title", weights=study.weights[::-1])
    sweep(edited, folder, locations, open_none).run()
    assert stored_study(folder) == edited
    assert len(lines(folder / "analysed.txt")) == 2
    before = snapshot(folder)
    sweep(edited, folder, locations, open_none).run()
    assert snapshot(folder) == before


def test_failed_analysis_is_told(
    study: Study,
    tmp_path: Path,
    locations: Locations,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKE_FAIL_ANALYSIS", "1")
    with pytest.raises(RunsFailedError, match=r"analysis of the finished runs failed(.|\n)*launch/analyze.py"):
        sweep(study, tmp_path / "study", locations).run()
    assert "no figure today" in capsys.readouterr().err


def test_open_cache_is_refused_before_anything_starts(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "open"))
    with pytest.raises(InputError, match="chmod 700"):
        sweep(study, tmp_path / "study", locations, open_none).run()


def test_a_start_that_fails_leaves_the_folder_to_another_recipe(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    @contextlib.contextmanager
    def open_nothing(lease: Lease) -> Iterator[InlinePool]:
        raise UsageError("no sbatch on this host")
        yield InlinePool()

    folder = tmp_path / "study"
    with pytest.raises(UsageError, match="sbatch"):
        sweep(study, folder, locations, open_nothing).run()
    assert stored_study(folder) is None
    sweep(small_study(recipe=dataclasses.replace(study.recipe, batch=5)), folder, locations).run()


def test_a_gpu_that_failed_in_a_sweep_that_was_killed_is_not_told_of(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    console, folder = Console(file=io.StringIO()), tmp_path / "study"
    Marks(folder / FOLDER / "running", "node", "0").failed("an illegal address")
    sweep(study, folder, locations, console=console).run()
    assert "GPU 0" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_a_former_sweep_says_of_a_run_is_not_told_of_workers_that_were_lost_now(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    class LosingPool(InlinePool):
        def submit(self, assignment: Assignment) -> "Future[Outcome]":
            future: Future[Outcome] = Future()
            future.set_exception(WorkerLost(0, "node"))
            return future

    @contextlib.contextmanager
    def open_losing(lease: Lease) -> Iterator[InlinePool]:
        yield LosingPool()

    folder = tmp_path / "study"
    write_text(RunFolder.of(folder, study.runs()[0]).error, "the GPU failed: an illegal address\n")
    with pytest.raises(RunsFailedError, match="5 runs failed") as raised:
        sweep(study, folder, locations, open_losing).run()
    assert "killed or out of memory" in str(raised.value)
    assert "illegal address" not in str(raised.value)


def test_what_another_sweep_has_done_since_the_first_look_needs_no_workers(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, check = tmp_path / "study", compile_cache.check

    def another() -> None:
        monkeypatch.setattr(compile_cache, "check", check)
        sweep(study, folder, locations).run()

    monkeypatch.setattr(compile_cache, "check", another)
    sweep(study, folder, locations, open_none).run()


def test_study_held_by_another_sweep(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxseg.execution.lease.WATCHERS_PEEK", 0.2)
    with hold_study(tmp_path / "study"), pytest.raises(Exception, match=f"process {os.getpid()}"):
        sweep(study, tmp_path / "study", locations, open_none).run()
