"""Tables of scores on disk, Parquet; each is replaced as a whole.

Arrow alone reads and writes them: a worker that has scored its first run need not import pandas, a third of a second.
"""

import io
import json
from collections.abc import Container
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json
from pyarrow import parquet

from jaxseg.errors import InputError
from jaxseg.files import of_system, unreadable, write_bytes

TYPES = {str: pa.string(), float: pa.float64(), int: pa.int64()}


def tested_on(file: Path) -> set[str]:
    """Test datasets that an existing table has scores of."""
    return set(_read(file, ["tested_on"])["tested_on"].to_pylist())


def append(file: Path, rows: list[dict[str, Any]], of: Container[str] | None = None) -> None:
    """Add rows to a table, which need not exist; of the former ones those of the test datasets `of` stay, or all."""
    table = _table(rows)
    if file.exists():
        former = _read(file)
        if of is not None:
            former = former.filter(pa.array([name in of for name in former["tested_on"].to_pylist()], pa.bool_()))
        table = pa.concat_tables([former.select(table.column_names).cast(table.schema), table])
    content = pa.BufferOutputStream()
    parquet.write_table(table, content)
    write_bytes(file, content.getvalue().to_pybytes())


def summary(file: Path) -> str:
    """Mean scores over the images, a line per budget and test dataset."""
    means = (
        _read(file)
        .to_pandas()
        .groupby(["tested_on", "budget"])
        .agg(dice=("dice", "mean"), jaccard=("jaccard", "mean"), images=("image", "count"))
    )
    return str(means.round(4).to_string())


def _read(file: Path, columns: list[str] | None = None) -> pa.Table:
    """`InputError` where it is missing or damaged; `UnreadableError` where the system does not let us read it."""
    try:
        with parquet.ParquetFile(file) as table:
            return table.read(columns).replace_schema_metadata()
    except (pa.ArrowException, OSError) as error:
        if of_system(error):
            raise unreadable(file, error) from error
        remedy = "delete it and DONE.json beside it, then repeat the command of the run: it is scored anew"
        raise InputError(f"cannot be read as a table: {error}", file=file, remedy=remedy) from error


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """By way of JSON: whatever else turns Python's values into Arrow's imports pandas."""
    schema = pa.schema([(name, TYPES[type(value)]) for name, value in rows[0].items()])
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    options = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    return pyarrow.json.read_json(io.BytesIO(lines.encode()), parse_options=options)
