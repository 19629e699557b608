"""The command that scores: what it prints."""

import runpy
import shutil
import sys
from pathlib import Path

import jax
import pytest

from jaxseg.run_folder import RunFolder

PROGRAM = Path(__file__).resolve().parents[2] / "launch" / "evaluate.py"


def test_the_ablation_is_printed_whole_with_its_file(
    finished: RunFolder,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished.path, run.path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("jaxseg.execution.start.prepare_process", lambda: None)
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), str(run.path), "--ablation", "--data-dir", str(data_dir)])
    runpy.run_path(str(PROGRAM), run_name="__main__")
    printed = capsys.readouterr().out
    (titles,) = (line for line in printed.splitlines() if "reading" in line)
    assert titles.split() == ["reading", "window", "stride", "dice", "jaccard", "images"]
    assert printed.splitlines()[-1] == str(run.path / "ablation.csv")


@pytest.mark.parametrize(
    ("program", "work", "arguments"),
    [
        ("evaluate", "jaxseg.evaluation.scoring.score_more", ["run"]),
        ("predict", "jaxseg.inference.on_files.predict_files", ["run", "image.png", "--out", "predictions"]),
        ("pretrain", "jaxseg.pretraining.run.run_pretraining", ["--images", "x", "--out", "w", "--name", "mine"]),
    ],
)
def test_a_gpu_that_fails_is_told(
    program: str,
    work: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As of a GPU whose memory others have filled, by its exit code and without a traceback."""

    def fail(*arguments: object, **options: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr("jaxseg.execution.start.prepare_process", lambda: None)
    monkeypatch.setattr("jaxseg.compute.device.on_cpu", lambda: False)
    monkeypatch.setattr(work, fail)
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM.with_stem(program)), run_name="__main__")
    assert ended.value.code == 4
    assert "error: the GPU failed: RESOURCE_EXHAUSTED" in capsys.readouterr().err
