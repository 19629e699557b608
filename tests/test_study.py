"""The demo's study, shrunk, from the command to the report; repeated; killed and repeated."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from jaxseg import datasets

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
import dataclasses
from pathlib import Path

from jaxseg.config import ModelConfig, load_study


def get_study():
    study = load_study(Path({demo!r}))
    model = ModelConfig(depth=18, width=1 / 16)
    tiny = dataclasses.replace(study.recipe, model=model, crop=64, stride=64, batch=4, budgets=(1, 2))
    nuclei = dataclasses.replace(study.trained_weights[0].run, recipe=tiny)
    weights = (dataclasses.replace(study.trained_weights[0], run=nuclei),)
    return dataclasses.replace(study, recipe=tiny, trained_weights=weights, fractions=(1.0,), repeats=2)
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for name in ("synthetic_glands_a", "synthetic_glands_b", "synthetic_nuclei_a"):
        datasets.prepare(name, folder / "data")
    (folder / "tiny.py").write_text(CONFIG.format(demo=str(ROOT / "configs" / "demo.py")))
    return folder


def start(places: Path, study: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "launch/sweep.py"), "tiny.py", "--out", study, "--data-dir", "data"]
    environment = {**os.environ, "JAXSEG_CACHE": str(places / "cache")}
    return subprocess.Popen(
        command, cwd=places, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    return output


def content(folder: Path) -> dict[str, tuple[str, int]]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in files
    }


def test_from_command_to_report_and_again(places: Path) -> None:
    assert "9 runs done" in finish(start(places, "whole"))
    study = places / "whole"
    assert len(list((study / "runs").glob("*/DONE.json"))) == 9
    summary = pd.read_csv(study / "tables/summary.csv")
    assert {"dice_mean", "dice_sd", "all_foreground_dice"} <= set(summary.columns)
    pairs = set(zip(summary.trained_on, summary.tested_on, strict=True))
    assert pairs == {(f"synthetic_glands_{a}", f"synthetic_glands_{b}") for a in "ab" for b in "ab"}
    assert "<svg" in (study / "report.html").read_text() or "data:image/png" in (study / "report.html").read_text()
    before = content(study)
    finish(start(places, "whole"))
    assert content(study) == before


def test_killed_and_repeated_gives_the_same_scores(places: Path) -> None:
    process = start(places, "killed")
    deadline = time.monotonic() + 600
    while len(list((places / "killed/runs").glob("*/DONE.json"))) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finish(start(places, "killed"))
    tables = [pd.read_csv(places / name / "tables/scores.csv") for name in ("whole", "killed")]
    pd.testing.assert_frame_equal(*tables)
