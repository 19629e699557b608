"""Names of classes and the values that stand for them in masks: from the command line or from a file beside them."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.image_files import read_labels
from jaxseg.datasets.table_file import read_rows
from jaxseg.errors import InputError, JaxsegError, UsageError
from jaxseg.wording import listed

FILES = ("classes.json", "classes.csv")
MOST = 255  # classes are kept in 8 bits
COLUMNS = ("class", "value")
EXPECTED = (
    'NAME=VALUE for every class, VALUE 1 or more (0 is the background); or classes.json {"NAME": VALUE, …}; '
    f"or classes.csv with the columns {' and '.join(COLUMNS)}"
)


def named(texts: Iterable[str]) -> dict[str, int]:
    """Classes from texts such as "gland=1"; `UsageError` where one is not of that form."""
    pairs = [text.partition("=") for text in texts]
    wrong = [name + equals + value for name, equals, value in pairs if not (equals and value.strip().isdecimal())]
    if wrong:
        raise UsageError("not a class", found=", ".join(wrong), expected=EXPECTED)
    if len({name.strip() for name, _, _ in pairs}) < len(pairs):
        raise UsageError("a class is named twice", found=", ".join(name for name, _, _ in pairs), expected=EXPECTED)
    return checked({name.strip(): int(value) for name, _, value in pairs}, UsageError)


def beside(source: Path) -> dict[str, int]:
    """Classes from classes.json ({"NAME": VALUE}) or classes.csv (columns class, value) in a folder of images."""
    file = next((source / name for name in FILES if (source / name).is_file()), None)
    if file is None:
        remedy = "name them with --classes NAME=VALUE …, or write that file"
        raise InputError("names of the classes are needed", file=source / FILES[0], expected=EXPECTED, remedy=remedy)

    def bad(problem: str, **details: object) -> InputError:
        remedy = "correct the file, or name the classes with --classes NAME=VALUE …"
        return InputError(problem, file=file, remedy=remedy, **details)

    try:
        values = _json(file) if file.suffix == ".json" else _csv(file)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise bad(f"cannot be read as classes: {error}", expected=EXPECTED) from error
    return checked(values, bad)


def _json(file: Path) -> dict[str, int]:
    values = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values.values()):
        raise ValueError("values must be whole numbers")
    return dict(values)


def _csv(file: Path) -> dict[str, int]:
    titles, rows = read_rows(file)
    if any(titles.count(title) != 1 for title in COLUMNS):
        raise ValueError(f"its columns are {', '.join(titles) or 'none'}")
    return _once([(row["class"].strip(), int(row["value"])) for _, row in rows])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary, which by itself would keep the last of two values without a word."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a class is named twice")
    return dict(pairs)


def checked(values: Mapping[str, int], error: Callable[..., JaxsegError]) -> dict[str, int]:
    """The classes by ascending value; names and values must be there, and there once."""
    numbers = list(values.values())
    if not values or min(numbers) < 1 or len(set(numbers)) < len(numbers) or not all(values):
        raise error("classes need names, and values of their own above 0", found=dict(values), expected=EXPECTED)
    if len(values) > MOST:
        raise error("too many classes", found=len(values), expected=f"at most {MOST}")
    return dict(sorted(values.items(), key=lambda item: item[1]))


def read_classes(file: Path, values: Mapping[str, int]) -> npt.NDArray[np.int32]:
    """Class map (H, W): 0 background, 1 … C in the order of `values`; a value without a name is an `InputError`."""
    labels = read_labels(file)
    known = np.array([0, *values.values()])
    found = np.unique(labels)
    strange = found[~np.isin(found, known)]
    if len(strange):
        raise InputError(
            "has values that are no class",
            file=file,
            found=listed(map(str, strange.tolist())),
            expected="0 for background, " + ", ".join(f"{value} for {name}" for name, value in values.items()),
            remedy="name these values with --classes too, or correct the mask",
        )
    return np.searchsorted(known, labels).astype(np.int32)


def check_classes(name: str, classes: Sequence[str], wanted: int, names: Sequence[str] = ()) -> None:
    """`UsageError` where a dataset has other classes than a model: another number, other names or another order.

    Args:
        wanted: foreground classes of the model.
        names: of these classes, in their order; empty where they are not known, or there is one.
    """
    if len(classes) != wanted:
        raise UsageError(
            f"dataset {name} has another number of classes than the model",
            found=f"{len(classes)} in the dataset ({', '.join(classes)}), {wanted} in recipe.model.classes",
            remedy=f"set recipe.model.classes to {len(classes)}, or choose another dataset",
        )
    if wanted > 1 and names and tuple(classes) != tuple(names):
        raise UsageError(
            f"dataset {name} has other classes than the model, or the same in another order",
            found=", ".join(classes),
            expected=", ".join(names),
            remedy="give classes the same names everywhere, and values in the same order in the masks of all datasets; "
            "then prepare the dataset anew",
        )
