import os
import subprocess
import sys
from pathlib import Path

import pytest
from fabricated_study import STUDY, fabricate

from jaxseg.config import Study

COMMAND = Path(__file__).resolve().parents[2] / "launch" / "analyze.py"


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    line = [sys.executable, "-W", "error", str(COMMAND), *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def study(tmp_path):
    values = {"weights": ("random", "pathology"), "datasets": ("tissue_a",), "fractions": (1.0,), "repeats": 2}
    return fabricate(tmp_path / "study", Study(**{**vars(STUDY), **values}), images=5)


def test_report_from_another_folder(study, tmp_path):
    done = command(tmp_path, "study", "--no-features")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(study.folder / "report.html")
    again = command(tmp_path, "study", "--no-features")
    assert "nothing has changed" in again.stdout


def test_missing_study_and_wrong_flag(tmp_path):
    missing = command(tmp_path, "nowhere")
    assert missing.returncode == 3
    assert "study.json" in missing.stderr
    assert command(tmp_path, "study", "--colour").returncode == 2
