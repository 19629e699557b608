"""Tables of scores on disk, Parquet; each is replaced as a whole."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import pandas as pd

from jaxseg.files import write_bytes


def tested_on(file: Path) -> set[str]:
    """Test datasets that an existing table has scores of."""
    return set(pd.read_parquet(file, columns=["tested_on"])["tested_on"])


def append(file: Path, rows: list[dict[str, Any]], of: Container[str] | None = None) -> None:
    """Add rows to a table, which need not exist; of the former ones those of the test datasets `of` stay, or all."""
    new = pd.DataFrame(rows)
    if file.exists():
        former = pd.read_parquet(file)
        if of is not None:
            former = former[[name in of for name in former["tested_on"]]]
        new = pd.concat([former, new], ignore_index=True) if len(former) else new
    write_bytes(file, new.to_parquet(index=False))


def summary(file: Path) -> str:
    """Mean scores over the images, a line per budget and test dataset."""
    means = (
        pd.read_parquet(file)
        .groupby(["tested_on", "budget"])
        .agg(dice=("dice", "mean"), jaccard=("jaccard", "mean"), images=("image", "count"))
    )
    return str(means.round(4).to_string())
