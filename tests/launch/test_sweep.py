"""The command: what it lists without touching a device, its exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxseg.config import load_study
from jaxseg.datasets.card import Card, Row, fingerprint
from jaxseg.datasets.prepared import prepared_folder
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = ("jax", "jaxlib", "flax", "tensorflow_datasets", "pandas", "matplotlib", "parsl")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where importing a heavy library fails."""
    for name in FORBIDDEN:
        folder = tmp_path / "forbidden" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(f"raise AssertionError('{name} was imported')\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JAXSEG_")}
    path = os.pathsep.join([str(tmp_path / "forbidden"), str(ROOT)])
    return {**kept, "PYTHONPATH": path, "JAXSEG_CACHE": str(tmp_path / "cache")}


def sweep(environment: dict[str, str], cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "launch" / "sweep.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def prepare(data_dir: Path, name: str, task: str) -> None:
    """Without any pixels."""
    rows = tuple(Row(f"i{n}", "train", "train", f"p{n}", 64, 64, 1, 0.5, "", "") for n in range(10))
    folder = prepared_folder(name, data_dir)
    folder.mkdir(parents=True)
    Card(name, name, task, "", "", True, fingerprint(task, rows), {}, (), rows).write(folder)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_asked_to_stop_before_the_first_run(environment: dict[str, str], tmp_path: Path, number: str) -> None:
    config = tmp_path / "stopping.py"
    demo = (ROOT / "configs" / "demo.py").read_text()
    config.write_text(f"{demo}\nimport os, signal\nos.kill(os.getpid(), signal.{number})\n")
    result = sweep(environment, tmp_path, str(config), "--out", "study")
    assert (result.returncode, result.stderr) == (75, "stopped before it began; repeat the command to resume\n")
    assert not (tmp_path / "study").exists()


def test_dry_run_of_the_paper(environment: dict[str, str], tmp_path: Path) -> None:
    config = str(ROOT / "configs" / "paper_glands.py")
    result = sweep(environment, tmp_path, config, "--out", "studies/glands", "--dry-run")
    assert result.returncode == 3
    assert "error: none of the 250 runs that are left can start" in result.stderr
    lines = result.stdout.splitlines()
    assert lines.count("250 runs") == 1
    assert sum(line.startswith(("glas-", "crag-")) for line in lines) == 250
    assert "launch/prepare.py glas" in result.stdout
    assert "launch/prepare.py crag" in result.stdout
    for name in ("imagenet_v1", "imagenet_v2", "ssl_image", "ssl_pathology"):
        assert f"{tmp_path / 'weights' / name}: no such weights" in result.stdout
    disk = float(re.search(r"disk: +([\d.]+) GB", result.stdout).group(1))  # type: ignore[union-attr]
    assert disk == pytest.approx(250 * 5 * 32.6e6 * 4 / 1e9, rel=0.02)
    assert re.search(r"on one GPU, [\d.]+ GPU hours \(estimate for an H100, not measured here\)", result.stdout)
    assert "        of training, validation and scoring: start, compilation and report come on top" in lines
    assert not (tmp_path / "studies").exists(), "a dry run writes nothing"


@pytest.mark.parametrize(
    ("options", "runs", "time"),
    [
        (
            "--executor slurm --gpus 0,1 --slurm.nodes 4",
            "8 at once on 8 GPUs of 4 nodes",
            r"\S+ s on 8 GPUs of 4 nodes",
        ),
        ("--executor slurm --gpus 3", "one at a time on one GPU of one node", r"\S+ s on one GPU of one node"),
        (
            "--executor slurm --gpus none --workers 3 --slurm.nodes 2",
            "6 at once on 2 nodes",
            r".+ like this host's \(estimate\)\n",
        ),
        ("--gpus 0,1", "2 at once on 2 GPUs", r"\S+ s on 2 GPUs, "),
        ("--workers 9999", r"9999 at once, on \d+ cores", ""),
        ("--workers 1", r"one at a time, on \d+ cores", ""),
    ],
)
def test_dry_run_tells_how_many_at_once(
    options: str, runs: str, time: str, environment: dict[str, str], tmp_path: Path
) -> None:
    for name, task in (("glands_a", "glands"), ("glands_b", "glands"), ("nuclei_a", "nuclei")):
        prepare(tmp_path / "data", f"synthetic_{name}", task)
    result = sweep(
        environment, tmp_path, str(ROOT / "configs" / "demo.py"), "--out", "x", "--dry-run", *options.split()
    )
    assert re.search(rf"^runs:   {runs}\ntime:   {time}", result.stdout, re.MULTILINE), result.stdout


def test_dry_run_refuses_the_cache_that_the_sweep_would_refuse(environment: dict[str, str], tmp_path: Path) -> None:
    for name, task in (("glands_a", "glands"), ("glands_b", "glands"), ("nuclei_a", "nuclei")):
        prepare(tmp_path / "data", f"synthetic_{name}", task)
    dry_run = (str(ROOT / "configs" / "demo.py"), "--out", "x", "--dry-run")
    assert sweep(environment, tmp_path, *dry_run).returncode == 0
    cache = tmp_path / "cache"
    assert not cache.exists(), "a dry run writes nothing"
    cache.mkdir(mode=0o755)
    result = sweep(environment, tmp_path, *dry_run)
    assert (result.returncode, f"chmod 700 {cache}" in result.stderr) == (3, True)
    assert "25 runs\n" in result.stdout, "what it was asked for is told all the same"
    study = load_study(ROOT / "configs" / "demo.py")
    for run in (*study.runs(), *(maker.run for maker in study.trained_weights)):
        done = {"images_per_second": 1.0, "test_datasets": list({run.dataset, *study.tested_on})}
        write_json(RunFolder.of(tmp_path / "x", run).done, done)
    for maker in study.trained_weights:
        write_json(tmp_path / "x" / "weights" / maker.name / "receipt.json", {})
    result = sweep(environment, tmp_path, *dry_run)
    assert "none, all runs are done" in result.stdout
    assert result.returncode == 0, "nor would the sweep look at it"


def test_status_shows_how_far_runs_are(environment: dict[str, str], tmp_path: Path) -> None:
    config = ROOT / "configs" / "demo.py"
    done, half, *_ = load_study(config).runs()
    write_json(RunFolder.of(tmp_path / "demo", done).done, {"images_per_second": 1.0, "test_datasets": []})
    RunFolder.of(tmp_path / "demo", half).checkpoints.mkdir(parents=True)
    result = sweep(environment, tmp_path, str(config), "--out", "demo", "--status")
    assert result.returncode == 0, result.stderr
    assert re.search(rf"^{done.run_id} +done$", result.stdout, re.MULTILINE)
    assert re.search(r"25 runs: 1 done, 24 missing", result.stdout)


def test_nothing_to_start_is_exit_code_3(environment: dict[str, str], tmp_path: Path) -> None:
    result = sweep(environment, tmp_path, str(ROOT / "configs" / "demo.py"), "--out", "demo")
    assert result.returncode == 3
    assert "no run could start" in result.stderr
    assert "python launch/prepare.py synthetic_glands_a" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.py", "--out", "x"), "no such configuration file"),
        ((str(ROOT / "configs" / "demo.py"), "--out", "x", "--gpus", "all"), "--gpus"),
        ((str(ROOT / "configs" / "demo.py"), "--out", "x", "--no-such-option"), "no-such-option"),
        ((str(ROOT / "configs" / "demo.py"), "--out", "x", "--executor", "slurm"), "--gpus 0,1,2,3 for nodes"),
        ((str(ROOT / "configs" / "demo.py"), "--out", "x", "--executor", "slurm", "--gpus", "none"), "--workers 8"),
        ((str(ROOT / "configs" / "demo.py"), "--out", "x", "--slurm.partition", "gpu"), "add --executor slurm"),
        ((str(ROOT / "configs" / "demo.py"), "--out", "x", "--workers", "0"), "--workers\n  found:    0"),
        ((str(ROOT / "configs" / "demo.py"), "--out", "x", "--gpus", "999"), "  found:    --gpus 999"),
        ((str(ROOT / "configs" / "demo.py"), "--out", "x", "--runs-per-gpu", "-1"), "--runs-per-gpu\n  found:    -1"),
        ((str(ROOT / "configs" / "demo.py"),), "--out"),
    ],
)
def test_wrong_use_is_exit_code_2(
    environment: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = sweep(environment, tmp_path, *arguments)
    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--status"]])
def test_a_file_in_the_way_of_the_study_is_told(
    environment: dict[str, str], tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "file").touch()
    result = sweep(environment, tmp_path, str(ROOT / "configs" / "demo.py"), "--out", "file/demo", *options)
    assert result.returncode == 3
    assert f"error: {tmp_path / 'file'}: is a file" in result.stderr
