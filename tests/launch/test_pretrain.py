"""The command that pretrains: its exit codes, and what it says."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxseg.models.receipt import Receipt

PROGRAM = Path(__file__).resolve().parents[2] / "launch" / "pretrain.py"
TINY = "--depth 18 --width 0.0625 --crop 32 --batch 10 --epochs 60 --warm-up 4 --learning-rate 2e-3 --projector 16"
CALM = "--stain 0.05 --colour 0.1 --grey 0"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "tiles"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(10):
        height, width = ((40, 50), (64, 40), (48, 48))[number % 3]
        tint = draw.uniform(90, 210, 3)
        pixels = np.clip(draw.normal(tint, 30, (height, width, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *TINY.split(), *CALM.split(), *map(str, arguments)])
    try:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_stopped_then_resumed_to_the_end(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--images", images, "--out", tmp_path / "weights", "--name", "own")
    with monkeypatch.context() as patched:
        patched.setattr("jaxseg.command.StopRequest", lambda: lambda: True)
        assert run(patched, *arguments) == 75
    assert "stopped after step 1 of 60; repeat the command to resume" in capsys.readouterr().err
    assert run(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert "epoch 60  loss" in printed
    assert "--weights own" in printed
    assert "--recipe.model.depth 18 --recipe.model.width 0.0625" in printed  # or training refuses them
    assert Receipt.read(tmp_path / "weights" / "own").depth == 18


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def damage(folder: Path) -> None:
    (folder / "4.png").write_bytes((folder / "4.png").read_bytes()[:300])


def shrink(folder: Path) -> None:
    Image.new("RGB", (8, 50), (200, 90, 150)).save(folder / "4.png")


@pytest.mark.parametrize(("spoil", "words"), [(empty, "no images"), (damage, "4.png"), (shrink, "4.png")])
def test_bad_images_exit_with_3(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    words: str,
) -> None:
    spoil(images)
    assert run(monkeypatch, "--images", images, "--out", tmp_path / "weights", "--name", "own") == 3
    message = capsys.readouterr().err
    assert words in message
    assert "remedy" in message
    assert not (tmp_path / "weights").exists(), "nothing is left behind"


def test_missing_weights_to_start_from_exit_with_3(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--images", images, "--out", tmp_path / "weights", "--name", "own")
    assert run(monkeypatch, *where, "--weights", "nowhere") == 3
    assert "nowhere: no such weights" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["--grey 2", "--name Own", "--name random", "--colours 1", "--zoom wide"])
def test_wrong_use_exits_with_2(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    where = ("--images", images, "--out", tmp_path / "weights", "--name", "own")
    assert run(monkeypatch, *where, *wrong.split()) == 2
    message = capsys.readouterr()
    assert wrong.split()[1] in message.err + message.out or "colours" in message.err + message.out
