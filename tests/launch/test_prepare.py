"""The command that prepares datasets: what it prints and how it exits."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxseg.datasets import load

PROGRAM = Path(__file__).resolve().parents[2] / "launch" / "prepare.py"


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *map(str, arguments)])
    try:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _own(source: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (source / folder).mkdir(parents=True)
    for k in range(5):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(source / "images" / f"{k}.png")
        Image.fromarray(rng.integers(0, 2, (20, 24), np.uint8) * 255).save(source / "masks" / f"{k}.png")


def test_several_at_once_then_already_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("synthetic_nuclei_a", "synthetic_nuclei_b")
    assert _run(monkeypatch, *names, "--data-dir", tmp_path) == 0
    printed = capsys.readouterr().out
    assert all(f"{name}: Synthetic nuclei" in printed for name in names)
    assert "already prepared" not in printed
    assert _run(monkeypatch, *names, "--data-dir", tmp_path) == 0
    assert capsys.readouterr().out.count("already prepared") == 2


def test_own_folder_with_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _own(tmp_path / "mine")
    monkeypatch.setenv("JAXSEG_DATA", str(tmp_path / "data"))
    options = ("--name", "mylab", "--source", tmp_path / "mine", "--task", "glands", "--preview")
    assert _run(monkeypatch, "folder", *options) == 0
    dataset = load("mylab", tmp_path / "data")
    assert (dataset.task, len(dataset.train), len(dataset.test)) == ("glands", 4, 1)
    sheet = tmp_path / "data" / "mylab" / "preview.png"
    assert f"preview: {sheet}" in capsys.readouterr().out
    assert sheet.is_file()


def test_names_that_tell_patients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _own(tmp_path / "mine")
    for folder in ("images", "masks"):
        for k in range(5):
            (tmp_path / "mine" / folder / f"{k}.png").rename(tmp_path / "mine" / folder / f"P{k // 2} {k}.png")
    own = ("folder", "--name", "x", "--source", tmp_path / "mine", "--task", "t", "--data-dir", tmp_path / "data")
    for wrong, told in (
        (("--patient-pattern", "("), "is no pattern of names"),
        (("--patient-pattern", "^P.", "--table", tmp_path / "t.csv"), "by a table or by a pattern"),
    ):
        assert _run(monkeypatch, *own, *wrong) == 2
        assert told in capsys.readouterr().err
    assert _run(monkeypatch, *own, "--patient-pattern", "^[^ ]+") == 0
    dataset = load("x", tmp_path / "data")
    assert {*dataset.train.patients, *dataset.test.patients} == {"P0", "P1", "P2"}
    assert "2 patients" in capsys.readouterr().out


def test_archive_of_several_classes_and_what_it_shares_with_another_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _own(tmp_path / "mine")
    shutil.make_archive(str(tmp_path / "mine"), "zip", tmp_path / "mine")
    own = ("folder", "--task", "tissue", "--masks", "classes", "--data-dir", tmp_path / "data")
    source = ("--source", tmp_path / "mine.zip", "--classes", "gland=255", "vessel=7")
    assert _run(monkeypatch, *own, *source, "--name", "mylab") == 0
    assert load("mylab", tmp_path / "data").classes == ("vessel", "gland")
    assert "are the same or nearly so" not in capsys.readouterr().out
    assert _run(monkeypatch, *own, *source, "--name", "twin") == 0
    assert "warning: 5 images are the same or nearly so in twin and mylab" in capsys.readouterr().out


def test_a_termination_leaves_nothing_of_what_was_unpacked(tmp_path: Path) -> None:
    """The end of a job, or `timeout`, left gigabytes where nobody looks."""
    _own(tmp_path / "mine")
    shutil.make_archive(str(tmp_path / "mine"), "zip", tmp_path / "mine")
    scratch, data = tmp_path / "scratch", tmp_path / "data"
    scratch.mkdir()
    options = ("--name", "mylab", "--source", tmp_path / "mine.zip", "--task", "glands", "--data-dir", data)
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(PROGRAM.parents[1])}
    process = subprocess.Popen(
        [sys.executable, PROGRAM, "folder", *options], stderr=subprocess.PIPE, text=True, env=environment
    )
    while not list(scratch.glob("jaxseg-*/*")):
        assert process.poll() is None
        time.sleep(0.01)
    for _ in range(2):  # `timeout` signals a process by itself and with its group
        process.send_signal(signal.SIGTERM)
    assert process.communicate()[1].endswith("stopped; repeat the command to resume\n")
    assert process.returncode == 75
    assert list(scratch.iterdir()) == []
    assert not list(data.rglob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("synthetic_nuclei_a", "nope"), 2, "nope"),
        ((), 2, "no dataset is named"),
        (("folder", "--name", "x"), 2, "--source"),
        (("glas",), 3, "Register at"),
        (("glas", "--manual-dir", "/nowhere"), 3, "/nowhere"),
        (("glas", "--colour", "red"), 2, "--colour"),
        (("glas", "--name", "x", "--masks", "binary"), 2, "--name --masks"),
        (("folder", "--name", "x", "--source", ".", "--task", "t", "--allow-incomplete"), 2, "--allow-incomplete"),
        (("folder", "--name", "x", "--source", ".", "--task", "t", "--classes", "gland"), 2, "NAME=VALUE"),
        (("folder", "--name", "x", "--source", ".", "--task", "t", "--classes", "gland=1"), 2, "--masks classes"),
    ],
)
def test_mistakes_are_said_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    assert _run(monkeypatch, *arguments, "--data-dir", tmp_path / "data") == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("jaxseg.json"))
