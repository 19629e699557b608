"""Speeds that runs leave behind for later forecasts."""

import dataclasses
from pathlib import Path

import pytest
from studies import small_study

from jaxseg.config import ModelConfig, RunConfig
from jaxseg.execution import speeds
from jaxseg.execution.compile_cache import cache_folder
from jaxseg.execution.complete import _had_a_device_alone, complete
from jaxseg.run_folder import RunFolder
from jaxseg.training.run import TrainOptions


def test_broken_memories_and_those_of_other_hosts_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_study().recipe
    speeds.remember(recipe, "cpu", 2, 10.0)
    (speed,) = speeds.known(gpu=False)
    assert (speed.images_per_second, speed.is_of(recipe)) == (10, True)
    for other in ({"crop": 128}, {"batch": 8}, {"model": ModelConfig(18, 1 / 8)}, {"compute_dtype": "bfloat16"}):
        assert not speed.is_of(dataclasses.replace(recipe, **other)), other
    (file,) = (cache_folder() / "speeds").glob("*.json")
    whole = file.read_text()
    bad = [whole.replace("10.0", value) for value in ('"x"', "-1", "5, -1", "")]
    for content in ("{", "[]", "{}", *bad):
        file.with_name("other.json").write_text(content)
        assert speeds.known(gpu=False) == [speed]
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert speeds.known(gpu=False) == []


def test_one_run_beside_other_work_does_not_set_the_next_forecast() -> None:
    recipe = small_study().recipe
    for reached in (100.0, 10.0, 2.0, 11.0, 12.0, 9.0):  # a host as it was before, and one busy hour
        speeds.remember(recipe, "cpu", 2, reached)
    (speed,) = speeds.known(gpu=False)
    assert (speed.runs, speed.images_per_second) == ((10, 2, 11, 12, 9), 10)


def test_a_run_that_has_its_device_alone_leaves_its_speed_behind(
    run: RunConfig, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(name: str) -> None:
        options = TrainOptions(devices=1)
        complete(RunFolder(tmp_path / name), run, (run.dataset,), data_dir, tmp_path, options=options)

    with monkeypatch.context() as patch:
        patch.setenv("JAXSEG_RUNS_PER_GPU", "2")
        finish("beside another one")
    assert not speeds.known(gpu=False)
    assert not _had_a_device_alone(TrainOptions()), "two simulated devices share its batches"
    finish("alone")
    (speed,) = speeds.known(gpu=False)
    assert speed.is_of(run.recipe)
    assert speed.images_per_second > 0
