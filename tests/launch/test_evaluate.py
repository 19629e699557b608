"""The command that scores: what it prints."""

import runpy
import shutil
import sys
from pathlib import Path

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
