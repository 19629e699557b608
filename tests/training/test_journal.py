"""The log of a run: what it keeps where the run goes on, and which time and speed it tells."""

import json
from pathlib import Path

import pytest

from jaxseg.config import RunConfig
from jaxseg.run_folder import RunFolder
from jaxseg.training.journal import Journal, median_speed


def logged(path: Path, **columns: list[float]) -> RunFolder:
    """A run whose log has these columns."""
    folder = RunFolder(path)
    folder.create(RunConfig("glas"))
    lines = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    folder.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_run_that_goes_on_keeps_its_lines_and_the_time_up_to_its_step(tmp_path: Path) -> None:
    folder = logged(tmp_path, step=[10, 20, 30], seconds=[100.0, 250.0, 900.0])
    with Journal(folder, 20) as journal:
        journal.write(25, {"training_loss": 0.5})
    *kept, line = folder.read_log()
    assert [each["step"] for each in kept] == [10, 20]
    assert line["step"] == 25
    assert 250 <= line["seconds"] < 300


@pytest.mark.parametrize(
    ("speeds", "median"),
    [([1.0, 7.0, 9.0, 8.0], 8.0), ([1.0, 7.0, 9.0, 8.0, 6.0], 8.0), ([1.0, 7.0], 7.0), ([3.0], 3.0), ([], 0.0)],
)
def test_the_speed_of_a_run_is_the_median_without_the_line_that_compiling_slowed(
    speeds: list[float], median: float, tmp_path: Path
) -> None:
    assert median_speed(logged(tmp_path, images_per_second=speeds)) == median
