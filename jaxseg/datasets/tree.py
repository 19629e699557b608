"""Finding one's way in unpacked archives: the root wherever it lies, files without the litter beside them."""

import re
import unicodedata
from collections.abc import Callable, Collection
from pathlib import Path

from jaxseg.datasets.description import Description
from jaxseg.errors import InputError
from jaxseg.wording import listed

DEPTH = 4  # levels below the manual directory that are searched


class TreeMissingError(InputError):
    """A folder holds nothing of the dataset: it may still be packed in archives."""


def find_root(manual_dir: Path, description: Description, accept: Callable[[Path], bool]) -> Path | None:
    """The folder nearest to `manual_dir` that `accept` takes; None without one, `InputError` with two equally near."""
    level = [manual_dir]
    for _ in range(DEPTH + 1):
        accepted = [folder for folder in level if accept(folder)]
        if len(accepted) > 1:
            raise InputError(
                f"holds dataset {description.name} more than once",
                file=manual_dir,
                found=", ".join(str(folder) for folder in accepted),
                remedy="give one of these folders as --manual-dir",
            )
        if accepted:
            return accepted[0]
        level = [child for folder in level for child in folders(folder)]
    return None


def not_found(manual_dir: Path, description: Description) -> TreeMissingError:
    """The error for a manual directory without the official tree: what is expected and where to get it."""
    return TreeMissingError(
        f"does not hold the files of dataset {description.name}",
        file=manual_dir,
        found=listed(sorted(child.name for child in manual_dir.iterdir())) or "an empty folder",
        expected=description.layout,
        remedy=description.how_to_get,
    )


def folders(folder: Path) -> list[Path]:
    """Sorted subfolders without hidden ones and what archives from a Mac leave behind."""
    return sorted(child for child in folder.iterdir() if child.is_dir() and not _litter(child))


def child(folder: Path, *names: str) -> Path | None:
    """The first subfolder with one of these names, whatever the case of its letters."""
    found = {path.name.lower(): path for path in folders(folder)} if folder.is_dir() else {}
    return next((found[name.lower()] for name in names if name.lower() in found), None)


def images(folder: Path, suffixes: Collection[str], stem: str = ".*") -> list[Path]:
    """Files with one of the suffixes whose stem matches the expression, in natural order (2 before 10)."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not _litter(path))
    return sorted((path for path in found if re.fullmatch(stem, path.stem)), key=_natural)


def below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Files with one of the suffixes in the subfolders of a folder, at any depth."""
    return [file for inner in folders(folder) for file in (*images(inner, suffixes), *below(inner, suffixes))]


def composed(name: str) -> str:
    """The name with each accent and its letter in one (Unicode NFC): Macs take them apart in names of files."""
    return unicodedata.normalize("NFC", name)


def existing(path: Path) -> Path | None:
    """The file of that name, however its accents are encoded; None where there is none."""
    if path.is_file():
        return path
    if path.name.isascii() or not path.parent.is_dir():
        return None
    alike = (file for file in path.parent.iterdir() if composed(file.name) == composed(path.name))
    return next((file for file in alike if file.is_file()), None)


def companion(image: Path, folder: Path, *names: str) -> Path:
    """The first existing of the files `names` in `folder`; `InputError` where the annotation is missing."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        "has no annotation",
        file=image,
        expected=" or ".join(str(folder / name) for name in names),
        remedy="unpack the archive again: the annotation must lie beside its image",
    )


def _litter(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", path.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
