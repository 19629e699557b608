"""What a dry run tells of the time."""

import io
from pathlib import Path

import pytest
from conftest import sweep
from rich.console import Console

from jaxseg.config import Locations, Study
from jaxseg.execution import speeds
from jaxseg.execution.listing import _hours, print_plan, print_status
from jaxseg.execution.plan import make_plan
from jaxseg.execution.resources import Resources
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


@pytest.mark.parametrize(
    ("seconds", "hours"),
    [(1, "less than 0.1"), (900, "0.5"), (36_000, "20.0"), (360_000, "200"), (10**7, "5,556")],
)
def test_hours_are_told_as_exactly_as_they_are_known(seconds: float, hours: str) -> None:
    assert _hours(seconds, 2, "GPU") == f"{hours} GPU hours"
