"""What `make` would do: an environment that stands is used as it is."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def dry_run(folder: Path, stands: str | None, *asked: str, age: int = 0) -> str:
    """Commands of `make bench` where an environment with those extras was made `age` seconds ago."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copyfile(ROOT / name, folder / name)
    if stands is not None:
        stamp = folder / f".venv/.ready-{stands}"
        stamp.parent.mkdir()
        stamp.touch()
        made = stamp.stat().st_mtime_ns - age * 10**9
        os.utime(stamp, ns=(made, made))
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name and name != "EXTRAS"}
    command = ["make", "--dry-run", "bench", *asked]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("stands", "asked", "installed"),
    [
        (None, (), ".[convert,test]"),
        ("convert-test", (), None),
        ("cuda13-convert-test", (), None),  # made for a GPU: another torch or JAX would come in its place
        ("cuda13-convert-test", ("EXTRAS=cuda13,convert,test",), None),
        ("convert-test", ("EXTRAS=cuda12,convert,test",), ".[cuda12,convert,test]"),
    ],
)
def test_what_is_installed(stands: str | None, asked: tuple[str, ...], installed: str | None, tmp_path: Path) -> None:
    said = dry_run(tmp_path, stands, *asked)
    assert said.endswith("python -m benchmarks\n")
    assert ("pip install" in said) == (installed is not None)
    if installed is not None:
        assert f'"{installed}"' in said


def test_an_environment_is_renewed_with_the_extras_that_it_has(tmp_path: Path) -> None:
    said = dry_run(tmp_path, "cuda13-convert-test", age=10**6)
    assert '".[cuda13,convert,test]"' in said
