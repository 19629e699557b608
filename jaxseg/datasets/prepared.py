"""Where prepared data lies and what its card says; cheap enough for the launcher to ask about all datasets."""

import contextlib
import errno
import json
import os
from pathlib import Path

from jaxseg.config import check_name
from jaxseg.datasets.card import FILE_NAME, Card
from jaxseg.datasets.catalogue import DESCRIPTIONS
from jaxseg.errors import InputError, UnreadableError, UsageError
from jaxseg.files import OF_CONTENT, unreadable

VERSION = "1.0.0"  # of the prepared form; another number keeps older data apart


def prepared_folder(name: str, data_dir: Path) -> Path:
    """`<data_dir>/<name>/<version>`, whether it exists or not."""
    check_name("dataset", name)
    return data_dir / name / VERSION


def is_prepared(name: str, data_dir: Path) -> bool:
    """True when the card can be read and every file that it lists has its size."""
    with contextlib.suppress(UnreadableError):
        return is_whole(name, data_dir)
    return False


def is_whole(name: str, data_dir: Path) -> bool:
    """The same, but `UnreadableError` where the system does not let us see: it must not be prepared anew."""
    folder = prepared_folder(name, data_dir)
    try:
        files = json.loads((folder / FILE_NAME).read_bytes())["files"]
        whole = all((folder / file).stat().st_size == size for file, size in files.items())
    except (*OF_CONTENT, ValueError, KeyError, TypeError, AttributeError):
        return False
    except OSError as error:
        raise unreadable(folder, error) from error
    for file in files if whole else ():
        if not os.access(folder / file, os.R_OK):
            raise unreadable(folder / file, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return whole


def read_card(name: str, data_dir: Path) -> Card:
    """Card of a prepared dataset.

    Raises:
        UnreadableError: the system does not let us read it.
        InputError: a built-in dataset is not prepared, or prepared files are missing or cut short.
        UsageError: the name is neither built in nor prepared.
    """
    folder = prepared_folder(name, data_dir)
    if is_whole(name, data_dir):
        return Card.read(folder)
    if folder.exists():
        remedy = f"delete {folder} and prepare the dataset again"
        raise InputError("is incomplete or damaged", file=folder, remedy=remedy)
    if name not in DESCRIPTIONS:
        raise UsageError(
            "no such dataset",
            found=name,
            expected=f"a built-in one ({', '.join(DESCRIPTIONS)}) or one prepared in {data_dir}",
            remedy="python launch/prepare.py folder --name NAME --source DIR --task TASK prepares your own images",
        )
    manual = "" if name.startswith("synthetic_") else " --manual-dir DIR"
    raise InputError(
        f"dataset {name} is not prepared",
        file=folder,
        remedy=f"python launch/prepare.py {name}{manual} --data-dir {data_dir}",
    )
