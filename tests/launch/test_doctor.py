"""The doctor finds what is wrong and says what to do."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxseg.compute import processor
from jaxseg.config import Locations
from jaxseg.datasets.card import Card, fingerprint
from jaxseg.datasets.prepared import prepared_folder
from jaxseg.execution import doctor, resources
from jaxseg.execution.doctor import Finding, examine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Locations:
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    (tmp_path / "weights").mkdir()
    return Locations(tmp_path / "data", tmp_path / "weights")


def named(findings: list[Finding], what: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.what == what)
    return finding


def test_healthy_host(places: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    card = Card("mine", "", "glands", "", "", True, fingerprint("glands", ()), {}, (), ())
    card.write(_made(prepared_folder("mine", places.data)))
    _made(places.weights / "mine.pretraining")  # the log of a pretraining, no weights
    findings = examine(places, tmp_path / "not" / "yet", None)
    assert [finding for finding in findings if not finding.well] == []
    assert named(findings, "JAX devices").found == "1 cpu"
    assert {finding.what for finding in findings if finding.to_do} <= {"packages", "weights"}
    assert named(findings, "training").found.startswith("works on 1 device: compiled in ")
    assert named(findings, "dataset mine").found == "0 + 0 images, glands"
    assert named(findings, "dataset glas").found == "not prepared"
    assert named(findings, f"writing to {tmp_path}").found == "yes"


@pytest.mark.parametrize(
    ("content", "found"),
    [("flags : avx2 amx_bf16 amx_tile\n", ", fast in bfloat16 ("), ("flags : avx2 avx512_bf16\n", ""), (None, "")],
)
def test_what_a_processor_is_fast_at_is_said(
    content: str | None, found: str, places: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(processor, "DESCRIPTION", file)
    (cores,) = (finding for finding in doctor._machine() if finding.what == "cores")
    assert cores.found.startswith(f"{resources.usable_cores()}{found}")
    assert ("bfloat16" in cores.found) == bool(found)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_a_host_that_is_too_small_or_too_old_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory", lambda: 3_900_000_000)
    monkeypatch.setattr(doctor, "PYTHON", (99, 1))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4_900_000_000))
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    findings = [*doctor._python(), *doctor._machine(), *doctor._folder(tmp_path / "studies")]
    assert {finding.what: (finding.found, finding.to_do) for finding in findings if not finding.well} == {
        "Python": (sys.version.split()[0], "install Python 99.1 or newer"),
        "memory": ("3.9 GB", "4 GB are needed at least"),
        f"disk at {tmp_path}": ("4.9 GB free", "free some; --dry-run tells a study's need"),
        f"writing to {tmp_path}": ("no", "choose another --out"),
    }


def test_packages_that_are_missing_are_told_and_those_of_extras_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = ["numpy>=1", "No_Such.package>=2; python_version > '3'", "nor-this; extra == 'cuda13'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: asked_for)
    missing = [finding.what for finding in doctor._packages(None) if not finding.well]
    assert missing == ["package no-such-package"]


def test_other_versions_than_tested(places: Locations, tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"# tested\nnumpy=={np.__version__} ; python_version > '3'\nParsl==1.0  # old\n")
    findings = list(doctor._packages(constraints))
    assert "tested versions" in named(findings, "packages").to_do
    assert "parsl" in named(findings, "packages").found
    assert "(tested: 1.0)" in named(findings, "packages").found
    assert "numpy" not in named(findings, "packages").found


def test_a_checkout_that_is_not_installed_is_a_line_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    (finding,) = doctor._packages(None)
    assert (finding.what, finding.well, finding.found) == ("package jaxseg", False, "not installed")


def test_broken_devices_are_a_line_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "no_such_platform")
    (finding,) = doctor._devices()
    assert not finding.well
    assert "no_such_platform" in finding.found


def test_a_trial_that_cannot_be_compiled_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = (
        "WARNING\nF1123 09:00:00 x.cc:1] Check failed: a == b (1 vs. 2)\n*** Check failure stack trace: ***\n    @ 0x1"
    )
    monkeypatch.setattr(doctor, "TRIAL", f"import os, sys; print({trace!r}, file=sys.stderr, flush=True); os.abort()")
    (finding,) = doctor._training()
    assert not finding.well
    assert finding.found == "F1123 09:00:00 x.cc:1] Check failed: a == b (1 vs. 2)"
    assert "driver" in finding.remedy


def test_damaged_data_weights_and_cache(places: Locations, tmp_path: Path) -> None:
    (places.data / "glas").mkdir()
    (places.weights / "imagenet_v1").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o755)
    findings = [*doctor._datasets(places.data), *doctor._weights(places.weights), *doctor._cache()]
    assert [finding.what for finding in findings if not finding.well] == [
        "dataset glas",
        "weights imagenet_v1",
        "compilation cache",
    ]
    assert "launch/prepare.py glas" in named(findings, "dataset glas").remedy
    assert "weights_convert" in named(findings, "weights imagenet_v1").remedy
    assert "chmod 700" in named(findings, "compilation cache").remedy


def test_a_file_where_studies_would_go(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = doctor._folder(tmp_path / "file" / "studies")
    assert not finding.well
    assert finding.found == f"{tmp_path / 'file'} is a file"
    assert "--out" in finding.remedy


def test_prepared_images_are_decoded_measured_and_compared(places: Locations) -> None:
    from jaxseg.datasets import prepare

    prepare("synthetic_nuclei_a", places.data)
    shutil.copytree(places.data / "synthetic_nuclei_a", places.data / "twin")
    card = json.loads((prepared_folder("twin", places.data) / "jaxseg.json").read_text())
    told = "no foreground in 1 of 32 images: x"
    text = json.dumps({**card, "name": "twin", "warnings": [told]})
    (prepared_folder("twin", places.data) / "jaxseg.json").write_text(text)
    findings = list(doctor._datasets(places.data))
    found = named(findings, "dataset synthetic_nuclei_a").found
    assert found.startswith("24 + 8 images, nuclei, sides 144-168 pixels, foreground 0.")
    assert [finding.found for finding in findings if finding.what == "dataset twin"][1] == told
    twins = named(findings, "datasets synthetic_nuclei_a, twin")
    assert twins.found.startswith("32 images are the same or nearly so")
    assert "do not test" in twins.to_do

    file = next(prepared_folder("twin", places.data).glob("*test*"))
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 200] ^= 1
    file.write_bytes(content)
    finding = named(list(doctor._prepared("twin", places.data)), "dataset twin")
    assert not finding.well
    assert "1 image damaged or changed: test_" in finding.found


def test_arrays_are_compared_with_the_receipt(places: Locations) -> None:
    from jaxseg.config import ModelConfig
    from jaxseg.models.encoder_weights import EncoderWeights
    from jaxseg.models.receipt import Receipt
    from jaxseg.models.unet import network

    third = (0.5, 0.5, 0.5)
    for name in ("whole", "broken"):
        shapes = network(ModelConfig(depth=18, width=1 / 16))
        receipt = Receipt(name, "drawn", "", "", 0, "", 18, 1 / 16, third, third, "", "", "", "", "")
        EncoderWeights(_zeros(shapes.params["encoder"]), _zeros(shapes.stats["encoder"]), receipt).write(places.weights)
    largest = max((places.weights / "broken" / "arrays").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    findings = list(doctor._weights(places.weights))
    assert named(findings, "weights whole").found == "whole, from drawn"
    assert not named(findings, "weights broken").well


def test_arrays_that_could_not_be_compared_are_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(program: str, *arguments: str, patience: float, **environment: str) -> tuple[bool, str]:
        return False, f"ended on {environment['JAX_PLATFORMS']}"

    monkeypatch.setattr(doctor.child, "run", run)
    (finding,) = doctor._digests(tmp_path, ["mine"])
    assert (finding.what, finding.well, finding.found) == ("weights", False, "ended on cpu")  # whatever its GPUs are at


def _zeros(tree: dict) -> dict:  # type: ignore[type-arg]
    return {
        key: _zeros(leaf) if isinstance(leaf, dict) else np.zeros(leaf.shape, np.float32) for key, leaf in tree.items()
    }


def test_command_exits_with_3_where_something_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    (tmp_path / "weights" / "bad").mkdir(parents=True)
    (tmp_path / "cache").mkdir(mode=0o700)
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    result = subprocess.run(
        [sys.executable, str(ROOT / "launch" / "doctor.py"), "--weights-dir", str(tmp_path / "weights")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 3
    assert "!!  weights bad" in result.stdout
    assert "no constraints.txt at hand" not in result.stdout
    assert "weights bad" in result.stderr
