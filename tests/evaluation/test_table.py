"""Tables of scores: what pandas reads is what was given, to the bit."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jaxseg.errors import InputError, UnreadableError
from jaxseg.evaluation import table

DRAW = np.random.default_rng(0)


def rows(tested_on: str, count: int = 3) -> list[dict[str, Any]]:
    """With names that a reader of JSON or CSV would take for something else."""
    images = ("2020-01-01", "007", 'Übersicht "A", 1/2\n')[:count]
    return [
        {"tested_on": tested_on, "image": image, "budget": 2, "dice": dice, "fraction": 1.0, "pixels": 2**40 + 1}
        for image, dice in zip(images, DRAW.random(count).tolist(), strict=True)
    ]


def read(file: Path) -> list[dict[Any, Any]]:
    return pd.read_parquet(file).to_dict("records")


def test_what_is_read_is_what_was_given(tmp_path: Path) -> None:
    file, given = tmp_path / "scores.parquet", rows("glas")
    table.append(file, given)
    assert read(file) == given
    assert table.tested_on(file) == {"glas"}
    kinds = dict(zip(given[0], pd.read_parquet(file).dtypes, strict=True))
    assert [kinds[name] for name in ("budget", "dice", "fraction", "pixels")] == [
        "int64",
        "float64",
        "float64",
        "int64",
    ]


@pytest.mark.parametrize("by_pandas", [False, True])
def test_rows_follow_the_former_ones(by_pandas: bool, tmp_path: Path) -> None:
    """Also those of studies whose tables pandas wrote, with columns in another order."""
    file, former, more = tmp_path / "scores.parquet", rows("glas") + rows("crag"), rows("kumar")
    if by_pandas:
        pd.DataFrame(former)[["dice", *(name for name in former[0] if name != "dice")]].to_parquet(file, index=False)
    else:
        table.append(file, former)
    table.append(file, more, of={"crag"})
    assert read(file) == former[3:] + more
    table.append(file, rows("tnbc", 1), of=())
    assert table.tested_on(file) == {"tnbc"}


def test_the_summary_tells_means_by_dataset_and_budget(tmp_path: Path) -> None:
    about = ("tested_on", "budget", "image", "dice", "jaccard")
    rows = [
        ("glas", 2, "a", 0.5, 0.25),
        ("glas", 2, "b", 0.7, 0.75),
        ("glas", 4, "a", 0.8, 0.6),
        ("crag", 2, "a", 1, 1),
    ]
    table.append(tmp_path / "scores.parquet", [dict(zip(about, row, strict=True)) for row in rows])
    lines = [line.split() for line in table.summary(tmp_path / "scores.parquet").splitlines()]
    assert lines[0] == ["dice", "jaccard", "images"]
    assert lines[2:] == [["crag", "2", "1.0", "1.0", "1"], ["glas", "2", "0.6", "0.5", "2"], ["4", "0.8", "0.6", "1"]]


def test_what_may_not_be_read_is_not_to_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path) -> None:
        raise PermissionError(13, f"Failed to open local file '{file}'")  # as Arrow puts it

    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refuse)
    with pytest.raises(UnreadableError, match=r"scores\.parquet: cannot be read: Permission denied") as raised:
        table.tested_on(tmp_path / "scores.parquet")
    assert "delete" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and no more of it PAR1", None])
@pytest.mark.parametrize("read", [table.tested_on, table.summary])
def test_a_missing_or_damaged_table_is_named(
    read: Callable[[Path], object], content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "scores.parquet"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"(?s)scores\.parquet: cannot be read as a table.*scored anew"):
        read(file)


def test_pandas_is_not_needed(tmp_path: Path) -> None:
    """Importing it would take a worker a third of a second of its first run."""
    code = (
        "import sys; from pathlib import Path; from jaxseg.evaluation import table; file = Path(sys.argv[1]);"
        "row = {'tested_on': 'a', 'dice': 0.5}; table.append(file, [row]); table.append(file, [row]);"
        "assert table.tested_on(file) == {'a'}; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "scores.parquet")], check=True)
