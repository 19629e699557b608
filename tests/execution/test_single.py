"""What is refused before a single run begins, with nothing written; and what a run that is done needs no more."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_program import receipt
from studies import prepare, prepare_all, small_study

from jaxseg.config import Locations, ModelConfig, RunConfig
from jaxseg.errors import JaxsegError
from jaxseg.execution import single
from jaxseg.execution.single import check_ready, run_single
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder
from jaxseg.training.run import TrainOptions

RECIPE = small_study().recipe
RUN = RunConfig("site_a", recipe=RECIPE)
THREE = dataclasses.replace(RECIPE, model=ModelConfig(depth=18, width=1 / 16, classes=3))


@pytest.mark.parametrize(
    ("run", "test", "code", "problem"),
    [
        (RunConfig("synthetic_glands_x"), ("site_b",), 2, "no such dataset"),
        (RunConfig("glas"), ("glas",), 3, "glas is not prepared"),
        (RUN, ("site_b", "nope"), 2, "nope"),
        (RUN, ("cells",), 2, "cells is for another task"),
        (dataclasses.replace(RUN, recipe=THREE), ("site_a",), 2, "another number of classes"),
        (
            dataclasses.replace(RUN, weights="nosuch"),
            ("site_a",),
            3,
            "nosuch: no such weights\n  found:    there are: wide",
        ),
        (dataclasses.replace(RUN, weights="wide"), ("site_a",), 3, "are weights of another ResNet"),
    ],
)
def test_what_cannot_be_trained_or_scored_is_refused_before_the_first_step(
    tmp_path: Path, run: RunConfig, test: tuple[str, ...], code: int, problem: str
) -> None:
    places = Locations(prepare_all(tmp_path / "data"), tmp_path / "weights")
    receipt("wide", 50, 1.0).write(places.weights / "wide")
    with pytest.raises(JaxsegError) as raised:
        run_single(run, tmp_path / "out", places, test, lambda: False, TrainOptions())
    assert raised.value.exit_code == code
    assert problem in str(raised.value)
    assert not (tmp_path / "out").exists(), "nothing is written"


def test_what_was_asked_for_reaches_the_run_whose_folder_is_held_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Any, ...]] = []

    def complete(folder: RunFolder, *arguments: Any) -> None:
        with folder.hold() as held:
            assert not held, "or another process would write into it"
        given.append(arguments)

    def should_stop() -> bool:
        return False

    monkeypatch.setattr(single, "complete", complete)
    places = Locations(prepare_all(tmp_path / "data"), tmp_path / "weights")
    folder = run_single(RUN, tmp_path, places, ("site_b",), should_stop, TrainOptions(2, "host", 9.0))
    ((*what, options),) = given
    assert folder.path == RunFolder.of(tmp_path, RUN).path
    assert what == [RUN, ("site_b",), places.data, places.weights, should_stop]
    assert (options.devices, options.stack, options.checkpoint_seconds) == (2, "host", 9.0)
    assert options.on_step is not TrainOptions().on_step, "it is shown live"


def test_a_finished_run_needs_neither_its_data_nor_its_weights(tmp_path: Path) -> None:
    run = dataclasses.replace(RUN, weights="nosuch")
    folder = RunFolder.of(tmp_path, run)
    write_json(folder.done, {"images_per_second": 2.0, "test_datasets": ["site_a"]})
    write_json(folder.checkpoints / "best" / "manifest.json", {})
    places = Locations(tmp_path / "data", tmp_path / "weights")
    check_ready(run, tmp_path, places, ("site_a",))
    with pytest.raises(JaxsegError, match="no such dataset"):
        check_ready(run, tmp_path, places, ("site_a", "site_b"))
    prepare(places.data, "site_b")
    check_ready(run, tmp_path, places, ("site_a", "site_b"))
    write_json(folder.split, {"dataset": "site_b", "fingerprint": "former"})
    with pytest.raises(JaxsegError, match="not those that runs were trained on"):
        check_ready(run, tmp_path, places, ("site_a",))
    folder.split.unlink()
    shutil.rmtree(folder.checkpoints)  # to save room
    check_ready(run, tmp_path, places, ("site_a",))
