"""Files of a run or a study that were damaged or edited by hand: each is named, with what is wrong and a remedy."""

import errno
import fcntl
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxseg.analysis.study_file import read_study
from jaxseg.config import STUDY_FILE, RunConfig
from jaxseg.datasets import prepare
from jaxseg.errors import InputError, UsageError
from jaxseg.execution.lease import hold_study
from jaxseg.run_folder import RunFolder

RUN = RunConfig("glas")
FILES: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "config.json": (lambda path: RunFolder(path).config(), RUN.to_json()),
    "weights.json": (lambda path: RunFolder(path).read_weights(), {"mean": [0.5] * 3, "std": [0.2] * 3}),
    "DONE.json": (lambda path: RunFolder(path).read_done(), {"images_per_second": 1.5, "test_datasets": ["glas"]}),
}
BAD: list[tuple[str, Any, str]] = [
    ("config.json", {"dataset": "glas"}, "it lacks 'recipe'"),
    ("config.json", {**RUN.to_json(), "seed": 3}, "unexpected keyword argument 'seed'"),
    ("config.json", {**RUN.to_json(), "fraction": 2.0}, "bad value for fraction\n  found:    2.0\n  expected: above 0"),
    ("config.json", [], "is not a run's configuration"),
    ("weights.json", {"mean": [0.5] * 3}, "it lacks 'std'"),
    ("weights.json", {"mean": [0.5], "std": [0.2] * 3}, "mean must be three numbers, not [0.5]"),
    (
        "weights.json",
        {"mean": [0.5] * 3, "std": [0.2, 0.2, math.nan]},
        "std must be three numbers, not [0.2, 0.2, nan]",
    ),
    ("weights.json", None, "is not a run's account of its weights"),
    ("DONE.json", {}, "it lacks 'images_per_second'"),
    ("DONE.json", {"images_per_second": 1.5, "test_datasets": "glas"}, "must be a list of names, not glas"),
    (
        "DONE.json",
        {"images_per_second": 1.5, "test_datasets": [], "cores": 0},
        "cores must be a number, at least 1, not 0",
    ),
    ("DONE.json", {"images_per_second": 1.5, "test_datasets": [], "cores": "2"}, "at least 1, not '2'"),
    (
        "DONE.json",
        {"images_per_second": 1.5, "test_datasets": [], "fingerprints": {"glas": 3}},
        "must be texts by name",
    ),
    (
        "DONE.json",
        {"images_per_second": 1.5, "test_datasets": [], "classes": {"a": 1}},
        "classes must be a list of names, not {'a': 1}",
    ),
]


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_is_read(tmp_path: Path, name: str) -> None:
    read, content = FILES[name]
    (tmp_path / name).write_text(json.dumps(content))
    assert read(tmp_path) == (RUN if name == "config.json" else content)


@pytest.mark.parametrize(("name", "content", "problem"), BAD)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: Any, problem: str) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InputError) as raised:
        FILES[name][0](tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / name}: ")
    assert problem in message
    assert "remedy:" in message


@pytest.mark.parametrize(("content", "problem"), [({}, "it lacks 'recipe'"), ([], "is not a study"), (3, "is not a")])
def test_a_damaged_study_is_named(tmp_path: Path, content: Any, problem: str) -> None:
    (tmp_path / STUDY_FILE).write_text(json.dumps(content))
    with pytest.raises(InputError, match=STUDY_FILE) as raised:
        read_study(tmp_path)
    assert problem in str(raised.value)


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    folder, other = RunFolder(tmp_path / "run"), RunConfig("glas", repeat=1)
    folder.create(RUN)
    folder.create(RUN)  # as where it is taken up again
    with pytest.raises(InputError, match=rf"config\.json: holds another run\n.*{other.run_id}\n +remedy"):
        folder.create(other)
    assert folder.config() == RUN


def test_a_run_is_done_when_it_is_scored_on_all_that_is_asked_for(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.is_done()
    folder.done.write_text(json.dumps({"images_per_second": 1.5, "test_datasets": ["glas", "crag"]}))
    assert folder.is_done()
    assert folder.is_done(("crag", "glas"))
    assert not folder.is_done(("glas", "kumar"))


def test_a_run_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with (
        folder.hold(),
        pytest.raises(UsageError, match=r"run: another process is at this run\n +remedy"),
        folder.held(),
    ):
        pass
    with folder.held(), folder.hold() as held:
        assert not held


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Lustre is where it was not mounted with them, or NFS whose server has none."""

    def refuse(*arguments: object) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    told = r": cannot be locked: [^\n]+\n +expected: flock(.|\n)*remedy: +choose a folder"
    with pytest.raises(InputError, match=rf"run/\.lock{told}"), RunFolder(tmp_path / "run").hold():
        pass
    with pytest.raises(InputError, match=rf"\.sweep\.lock{told}"), hold_study(tmp_path):
        pass
    with pytest.raises(InputError, match=rf"\.synthetic_nuclei_a\.lock{told}"):
        prepare("synthetic_nuclei_a", tmp_path / "data")
