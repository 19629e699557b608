"""Data that were prepared anew since a run was trained or scored on them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from jaxseg.datasets.unchanged import check_unchanged, fingerprints
from jaxseg.errors import InputError
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Trained on one dataset, scored on two."""
    folder = RunFolder(tmp_path / "runs" / "one")
    write_json(folder.split, {"dataset": "own", "fingerprint": "aaa"})
    done = {"images_per_second": 1.0, "test_datasets": ["own", "foreign"]}
    write_json(folder.done, done | {"fingerprints": {"own": "aaa", "foreign": "bbb"}})
    return folder


@pytest.mark.parametrize("prepared", [{"own": "aaa", "foreign": "bbb"}, {"own": "aaa"}, {}])
def test_the_same_data_or_none(folder: RunFolder, prepared: Mapping[str, str]) -> None:
    check_unchanged(folder, prepared.get)


@pytest.mark.parametrize(
    ("prepared", "problem", "remedy"),
    [
        ({"own": "ccc"}, "of own are not those that runs were trained on", "runs/own-*"),
        (
            {"own": "aaa", "foreign": "ccc"},
            "of foreign are not those that runs were scored on",
            "runs/*/scores.parquet",
        ),
    ],
)
def test_other_data(folder: RunFolder, prepared: Mapping[str, str], problem: str, remedy: str) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        check_unchanged(folder, prepared.get)
    assert remedy in str(raised.value)
    assert str(folder.path.parent) in str(raised.value)


def test_a_run_that_recorded_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    check_unchanged(folder, {"own": "aaa"}.get)
    write_json(folder.split, {"train": [], "validation": []})
    write_json(folder.done, {"images_per_second": 1.0, "test_datasets": ["own"]})
    check_unchanged(folder, {"own": "aaa"}.get)


def test_what_is_not_prepared_has_no_fingerprint(tmp_path: Path) -> None:
    prepared = fingerprints(tmp_path)
    assert (prepared("glas"), prepared("nosuch"), prepared("Bad name")) == (None, None, None)
