"""Tables that people write: CSV in UTF-8, whose cells stand between commas, or what their spreadsheet puts there."""

import csv
from pathlib import Path
from typing import Any

MARKS = ",;\t"  # where a comma is the decimal mark, spreadsheets write semicolons


def read_rows(file: Path) -> tuple[tuple[str, ...], list[tuple[int, dict[Any, Any]]]]:
    """Titles, and the rows below as `csv.DictReader` gives them, each with the number of its line.

    Cells are separated by that one of comma, semicolon and tab which the first line holds most often; a line "sep=;"
    before it, which tells Excel the same, is passed over.

    Raises:
        OSError, ValueError, csv.Error: it cannot be read, or is no text in UTF-8.
    """
    with file.open(newline="", encoding="utf-8-sig") as stream:
        lines = stream.readlines()
    above = 1 if lines and lines[0].lower().startswith("sep=") else 0
    first = lines[above] if lines[above:] else ""
    reader = csv.DictReader(lines[above:], skipinitialspace=True, delimiter=max(MARKS, key=first.count))
    titles = tuple(reader.fieldnames or ())
    return titles, [(above + reader.line_num, row) for row in reader]
