"""What a dry run tells of the time."""

import io
from pathlib import Path

import pytest
from conftest import sweep
from rich.console import Console

from jaxseg.config import Locations, Study
from jaxseg.execution import listing, speeds
from jaxseg.execution.forecast import Time
from jaxseg.execution.lease import hold_study
from jaxseg.execution.listing import _hours, print_plan, print_status
from jaxseg.execution.plan import make_plan
from jaxseg.execution.pool import marks_folder
from jaxseg.execution.resources import Resources
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder


def told(study: Study, folder: Path, locations: Locations, resources: Resources = Resources(1)) -> list[str]:  # noqa: B008
    console = Console(file=io.StringIO())
    print_plan(make_plan(study, folder, locations), resources, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_a_finished_study_takes_no_time(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    assert told(study, folder, locations)[-1].endswith("come on top")
    sweep(study, folder, locations, console=Console(file=io.StringIO())).run()
    assert told(study, folder, locations)[-1] == "time:   none, all runs are done"


def test_on_nodes_without_gpus_it_says_what_the_time_rests_on(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    nodes = Resources(2, nodes=3)
    assert told(study, tmp_path, locations, nodes)[-2].endswith("like this host's (estimate)")
    speeds.remember(study.recipe, "cpu", 1, 4.0)
    measured = "(measured: runs of this kind on this CPU, 4 images/s each)"
    assert told(study, tmp_path, locations, nodes)[-2].endswith(f"like this host's {measured}")
    speeds.remember(study.recipe, "cpu", 1, 6.0)
    assert told(study, tmp_path, locations, nodes)[-2].endswith("4 to 6 images/s each)")


H100 = "(estimate for an H100, not measured here)"


@pytest.mark.parametrize(
    ("resources", "measured", "runs", "lines"),
    [
        (
            Resources(2),
            None,
            "2 at once, 2 cores each",
            [
                f"2 h 00 min on one GPU, 2.0 GPU hours {H100}",
                "10 h 00 min on this host's 4 CPU cores, 40.0 core hours (estimate, not measured here)",
            ],
        ),
        (
            Resources(2),
            3600.0,
            "2 at once, 2 cores each",
            ["1 h 00 min, 4.0 core hours (measured)", f"2 h 00 min on one GPU, 2.0 GPU hours {H100}"],
        ),
        (
            Resources(2, ("0", "1")),
            3600.0,
            "2 at once on 2 GPUs",
            [
                "1 h 00 min, 2.0 GPU hours (measured)",
                "10 h 00 min on this host's 4 CPU cores, 40.0 core hours (estimate, not measured here)",
            ],
        ),
        (
            Resources(2, ("0", "1"), nodes=3),
            None,
            "6 at once on 6 GPUs of 3 nodes",
            [f"2 h 00 min on 6 GPUs of 3 nodes, 12.0 GPU hours {H100}"],
        ),
    ],
)
def test_time_and_what_it_costs_by_hand(
    resources: Resources,
    measured: float | None,
    runs: str,
    lines: list[str],
    study: Study,
    tmp_path: Path,
    locations: Locations,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "usable_cores", lambda: 4)
    monkeypatch.setattr(listing, "time_needed", lambda *_: Time(measured, "measured", 7200.0, 36_000.0))
    monkeypatch.setattr(listing, "disk_needed", lambda _, at_once: at_once * 1e9)
    needs = told(study, tmp_path, locations, resources)[-5 - len(lines) + 1 :]
    assert needs[1].startswith(f"disk:   {resources.at_once}.0 GB")
    assert needs[2:-1] == [f"runs:   {runs}", f"time:   {lines[0]}", *(f"        {line}" for line in lines[1:])]


def test_what_is_missing_is_told_whole_whatever_its_folder_is_called(study: Study, tmp_path: Path) -> None:
    data = tmp_path / f"[bold] {'x' * 100} y"
    lines = told(study, tmp_path / "study", Locations(data, data))
    assert any(str(data) in line for line in lines), "in one line, to be copied"


def test_why_a_run_has_to_wait_is_told(study: Study, tmp_path: Path, locations: Locations) -> None:
    lines = told(study, tmp_path, locations)
    maker, waiting = study.trained_weights[0].run.run_id, study.runs()[-1].run_id
    (line,) = (line for line in lines if line.startswith(waiting))
    assert line.split() == [waiting, "waiting", "waits", "for", maker]
    assert "1 of them train initial weights for the others" in lines


def test_a_run_that_has_begun_tells_how_far_it_is(study: Study, tmp_path: Path, locations: Locations) -> None:
    run, console = study.runs()[0], Console(file=io.StringIO(), width=200)
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    folder.checkpoints.mkdir()
    folder.log.write_text('{"epoch": 1.0}\n{"epoch": 2.1}\n')
    print_status(make_plan(study, tmp_path, locations), console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (line,) = (line for line in lines if line.startswith(run.run_id))
    assert line.split() == [run.run_id, "partial", "epoch", "2", "of", "3"]


def test_a_run_that_a_worker_is_at_is_running_while_its_sweep_lives(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    first, second = study.runs()[:2]
    done = RunFolder.of(tmp_path, second)
    done.create(second)
    write_json(done.done, {"images_per_second": 1.0, "test_datasets": list(study.tested_on)})
    marks = marks_folder(tmp_path)
    marks.mkdir(parents=True)
    for name in (first.run_id, second.run_id, ".working-here-0"):
        (marks / name).touch()

    def state() -> str:
        console = Console(file=io.StringIO(), width=200)
        print_status(make_plan(study, tmp_path, locations), console)
        states = dict(line.split()[:2] for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]
        assert states[second.run_id] == "done", "though its worker has left a mark"
        return states[first.run_id]

    assert state() == "ready"
    with hold_study(tmp_path):
        assert state() == "running"
    assert state() == "ready", "the marks of a sweep that is gone"


@pytest.mark.parametrize(
    ("seconds", "hours"),
    [(1, "less than 0.1"), (900, "0.5"), (36_000, "20.0"), (360_000, "200"), (10**7, "5,556")],
)
def test_hours_are_told_as_exactly_as_they_are_known(seconds: float, hours: str) -> None:
    assert _hours(seconds, 2, "GPU") == f"{hours} GPU hours"
