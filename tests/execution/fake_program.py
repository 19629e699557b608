"""Stands in for training and analysis: writes what a run would leave, quickly, and counts what it did.

FAKE_SECONDS: how long a run takes. FAKE_FAIL: runs whose id holds this text fail. FAKE_KILL: runs whose id holds this
text kill their worker the first time. FAKE_BROKEN: the GPU on which runs fail. FAKE_FAIL_ANALYSIS: the analysis fails.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from jaxseg.analysis.fingerprint import finished, keep_record
from jaxseg.config import RunConfig
from jaxseg.errors import DeviceError, InputError, StoppedError
from jaxseg.files import write_json, write_text
from jaxseg.models.receipt import Receipt
from jaxseg.run_folder import RunFolder


def complete(
    folder: RunFolder,
    run: RunConfig,
    test_datasets: tuple[str, ...],
    data_dir: Path,
    weights_dir: Path,
    should_stop: Callable[[], bool],
) -> None:
    study = folder.path.parents[1]
    _note(study / "started.txt", run.run_id)
    if run.weights != "random":
        Receipt.read(weights_dir / run.weights)
    if (text := os.environ.get("FAKE_FAIL")) and text in run.run_id:
        raise InputError("cannot be decoded", file=data_dir / "image.png", remedy="replace the image")
    if (text := os.environ.get("FAKE_KILL")) and text in run.run_id and not (folder.path / "killed").exists():
        (folder.path / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("FAKE_BROKEN") == os.environ.get("CUDA_VISIBLE_DEVICES", ""):
        raise DeviceError("the GPU failed: an illegal memory access was encountered", remedy="repeat the command")
    _train(folder, should_stop)
    write_json(folder.done, {"images_per_second": 10.0, "test_datasets": list(test_datasets)})
    _note(study / "ended.txt", run.run_id)


def _train(folder: RunFolder, should_stop: Callable[[], bool]) -> None:
    state = folder.checkpoints / "latest"
    state.parent.mkdir(exist_ok=True)
    end = time.monotonic() + float(os.environ.get("FAKE_SECONDS", "0"))
    _note(folder.log, '{"epoch": 1.5, "training_loss": 0.5, "validation_dice": 0.7, "images_per_second": 12.0}')
    while time.monotonic() < end:
        if should_stop():
            write_text(state, "saved")
            raise StoppedError("stopped")
        time.sleep(0.02)


def keep_encoder(folder: RunFolder, name: str, weights_dir: Path) -> None:
    run = folder.config()
    receipt(name, run.recipe.model.depth, run.recipe.model.width).write(weights_dir / name)


def receipt(name: str, depth: int, width: float) -> Receipt:
    third = (0.5, 0.5, 0.5)
    return Receipt(name, "", "", "", 0, "", depth, width, third, third, "", "", "", "", "")


def analyze(study: Path, data_dir: Path) -> None:
    if "FAKE_FAIL_ANALYSIS" in os.environ:
        raise RuntimeError("no figure today")
    ended = finished(study)
    _note(study / "analysed.txt", "once")
    write_text(study / "report.html", "<html>")
    keep_record(study, "0", [study / "report.html"], (), ended)


def _note(file: Path, line: str) -> None:
    with file.open("a") as stream:
        stream.write(line + "\n")
