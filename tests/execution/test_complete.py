"""A run from nothing to DONE.json, its last checkpoint written while it is scored."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jaxseg.config import RunConfig
from jaxseg.datasets import prepare
from jaxseg.datasets.prepared import read_card
from jaxseg.errors import InputError, StoppedError
from jaxseg.execution.complete import complete
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder
from jaxseg.storage import arrays
from jaxseg.training.run import TrainOptions


def test_scores_from_memory_are_those_of_the_checkpoints(finished: RunFolder, run: RunConfig, data_dir: Path) -> None:
    before, done = pd.read_parquet(finished.scores), finished.done.read_bytes()
    finished.scores.unlink()
    finished.done.unlink()
    complete(finished, run, (run.dataset,), data_dir, finished.path)  # reads the models, trains nothing
    pd.testing.assert_frame_equal(pd.read_parquet(finished.scores), before)
    assert finished.done.read_bytes() == done


def test_datasets_of_an_earlier_scoring_stay_on_the_list(
    finished: RunFolder, run: RunConfig, data_dir: Path, tmp_path: Path
) -> None:
    copy = RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))
    data = Path(shutil.copytree(data_dir, tmp_path / "data"))
    prepare("synthetic_nuclei_b", data)
    write_json(copy.done, copy.read_done() | {"device": "NVIDIA H100", "cores": 26})
    complete(copy, run, ("synthetic_nuclei_b",), data, tmp_path)
    done = copy.read_done()
    assert (done["device"], done["cores"]) == ("NVIDIA H100", 26), "it was trained there, as fast as it tells"
    assert copy.tested_on() == (run.dataset, "synthetic_nuclei_b")
    assert copy.is_done((run.dataset, "synthetic_nuclei_b"))


def test_a_log_that_was_lost_is_told(finished: RunFolder, run: RunConfig, data_dir: Path, tmp_path: Path) -> None:
    copy = RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))
    copy.done.unlink()
    copy.log.write_text("")
    with pytest.raises(InputError, match=r"log\.jsonl: has lost(.|\n)*delete .*copy and repeat"):
        complete(copy, run, (run.dataset,), data_dir, tmp_path)
    assert not copy.done.exists()


def test_a_finished_run_knows_which_data_it_was_given(finished: RunFolder, run: RunConfig, data_dir: Path) -> None:
    given = {run.dataset: read_card(run.dataset, data_dir).fingerprint}
    assert finished.trained_on() == finished.scored_on() == given


def test_a_finished_run_tells_what_it_took(finished: RunFolder, run: RunConfig) -> None:
    done, log = finished.read_done(), finished.read_log()
    images = len(json.loads(finished.split.read_text())["train"])
    assert done["steps"] == math.ceil(2 * images / run.recipe.batch)
    assert (done["epochs"], done["seconds"]) == (2, max(line["seconds"] for line in log))
    assert done["best_validation_loss"] == pytest.approx(min(line["validation_loss"] for line in log), rel=1e-6)


def test_no_score_of_a_model_that_could_not_be_written(
    tmp_path: Path, run: RunConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(folder: Path, *rest: Any) -> str:
        if folder.name == "best":
            raise InputError("cannot be written: No space left on device", file=folder)
        return written(folder, *rest)

    written = arrays.save
    monkeypatch.setattr(arrays, "save", save)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match=r"best: cannot be written"):
        complete(folder, run, (run.dataset,), data_dir, tmp_path)
    assert not folder.scores.exists()
    assert not folder.done.exists()
    monkeypatch.undo()
    complete(folder, run, (run.dataset,), data_dir, tmp_path)
    assert folder.is_done((run.dataset,))


def test_stopped_between_training_and_scoring(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    short = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, budgets=(1,)))
    options = TrainOptions(checkpoint_seconds=0.0)
    with pytest.raises(StoppedError, match="not scored yet"):
        complete(folder, short, (run.dataset,), data_dir, tmp_path, lambda: bool(folder.read_log()), options)
    assert arrays.load(folder.checkpoints / "best")
    assert list(folder.checkpoints.glob("latest-*"))
    assert not folder.scores.exists()
    complete(folder, short, (run.dataset,), data_dir, tmp_path)
    assert folder.is_done((run.dataset,))
    assert [each.name for each in folder.checkpoints.iterdir()] == ["best"], "nothing that only resuming needs"
