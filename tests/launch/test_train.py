"""The command that trains one run: what it prepares its process for, and what it says of bad options."""

import os
import runpy
import signal
import sys
from pathlib import Path

import pytest

from jaxseg.config import ModelConfig, Recipe
from jaxseg.errors import UsageError
from jaxseg.run_folder import RunFolder

PROGRAM = Path(__file__).resolve().parents[2] / "launch" / "train.py"


pytestmark = pytest.mark.usefixtures("usual_signals")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_while_libraries_are_imported(
    number: signal.Signals,
    tmp_path: Path,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("jaxseg.execution.start.prepare_process", lambda recipe: os.kill(os.getpid(), number))
    places = ["--out", tmp_path, "--data-dir", data_dir]
    monkeypatch.setattr(sys, "argv", list(map(str, [PROGRAM, "--dataset", "synthetic_nuclei_a", *places])))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert ended.value.code == 75
    assert "repeat the command to resume" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_process_is_prepared_for_the_recipe_before_anything_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared: list[Recipe] = []
    monkeypatch.setattr("jaxseg.execution.start.prepare_process", prepared.append)
    options = ["--dataset", "nothing", "--recipe.model.width", "0.125", "--recipe.batch", "8"]
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *options, "--out", str(tmp_path), "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert ended.value.code == 2
    assert "nothing" in capsys.readouterr().err
    assert prepared == [Recipe(ModelConfig(width=0.125), batch=8)]


def test_processes_that_compile_together_do_not_settle_how_a_gpu_takes_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(recipe: Recipe) -> None:
        raise UsageError(f"told {os.environ['JAXSEG_ONE_GRAPH']}")

    monkeypatch.setenv("JAXSEG_ONE_GRAPH", "1")
    monkeypatch.setattr("jaxseg.execution.start.prepare_process", prepare)
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), "--dataset", "nothing", "--distributed"])
    said: list[str] = []
    monkeypatch.setattr("builtins.print", lambda text, **_: said.append(text))
    with pytest.raises(SystemExit):
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert said == ["error: told 0"]


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--test", "nope"], {"SLURM_PROCID": "0"}),  # the first one scores
        (["--test", "nope"], {"OMPI_COMM_WORLD_RANK": "0"}),
        (["--test", "nope", "--process-id", "0"], {}),
        (["--weights", "nope"], {"SLURM_PROCID": "1"}),
        (["--weights", "nope", "--test", "elsewhere"], {"OMPI_COMM_WORLD_RANK": "3"}),
    ],
)
def test_processes_that_would_be_refused_do_not_wait_for_each_other(
    options: list[str],
    number: dict[str, str],
    tmp_path: Path,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JAXSEG_ONE_GRAPH", "0")
    monkeypatch.setattr("jaxseg.execution.start.prepare_process", lambda recipe: None)
    monkeypatch.setattr("jaxseg.training.processes.join", lambda *_: pytest.fail("joined other processes"))
    monkeypatch.setattr("jaxseg.command.StopRequest", lambda: lambda: False)
    for name, value in number.items():
        monkeypatch.setenv(name, value)
    run = ["--dataset", "synthetic_nuclei_a", "--distributed", *options]
    places = ["--out", tmp_path, "--data-dir", data_dir, "--weights-dir", tmp_path]
    monkeypatch.setattr(sys, "argv", list(map(str, [PROGRAM, *run, *places])))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert ended.value.code == (2 if "--weights" not in options else 3)
    assert "nope" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_stride_beyond_the_crop_is_told_with_the_crop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), "--dataset", "nothing", "--recipe.crop", "64"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert "stride\n  found:    128\n  expected: 1 … 64, the crop" in capsys.readouterr().err


def test_folder_and_scores_of_the_run_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jaxseg.execution.start.prepare_process", lambda _: None)
    monkeypatch.setattr("jaxseg.execution.single.run_single", lambda *_: RunFolder(tmp_path))
    monkeypatch.setattr("jaxseg.evaluation.scoring.summarise", lambda folder: f"scores of {folder.path.name}")
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), "--dataset", "nothing"])
    runpy.run_path(str(PROGRAM), run_name="__main__")
    assert capsys.readouterr().out == f"{tmp_path}\nscores of {tmp_path.name}\n"


@pytest.mark.parametrize("option", ["--coordinator host:1", "--processes 2", "--process-id 0"])
def test_options_of_several_processes_need_their_word(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else each host would train the run for itself."""
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), "--dataset", "nothing", *option.split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert ended.value.code == 2
    assert "go with --distributed" in capsys.readouterr().err


@pytest.mark.parametrize("coordinator", ["localhost", "localhost:", ":1234", "localhost:http"])
def test_a_coordinator_needs_a_port(
    coordinator: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--dataset", "nothing", "--distributed", "--processes", "1", "--process-id", "0"]
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *options, "--coordinator", coordinator])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert ended.value.code == 2
    assert f"found:    {coordinator}\n  expected: HOST:PORT" in capsys.readouterr().err
