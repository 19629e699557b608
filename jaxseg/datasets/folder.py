"""A lab's own images: a folder `images`, a folder `masks`, files with the same stems."""

import csv
import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.classes import read_classes
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example, paired
from jaxseg.datasets.image_files import MASK_SUFFIXES, SUFFIXES, read_mask
from jaxseg.datasets.regions import connected, read_binary, read_objects
from jaxseg.datasets.split import split
from jaxseg.datasets.table_file import read_rows
from jaxseg.datasets.tree import below, child, composed, existing, folders, images
from jaxseg.errors import InputError
from jaxseg.wording import counted, listed

Masks = Literal["auto", "binary", "instances", "classes"]
ReadMask = Callable[[Path], npt.NDArray[np.int32]]
COLUMNS = ("image", "mask", "split", "patient")
TEST_SHARE = 0.2
LAYOUT = "images/NAME.png and masks/NAME.png (or .tif, .bmp, .jpg; images also .webp), the same names in both"


@dataclass(frozen=True)
class _Pair:
    image: Path
    mask: Path
    split: str  # empty where none is given
    patient: str

    @property
    def id(self) -> str:
        return composed(self.image.stem)


@dataclass(frozen=True)
class _Folders:
    source: Path
    images: Path
    masks: Path

    @classmethod
    def within(cls, source: Path) -> Self:
        """Images/ and IMAGES/ will do as well."""
        images, masks = source / "images", source / "masks"
        return cls(
            source,
            images if images.is_dir() else child(source, "images") or images,
            masks if masks.is_dir() else child(source, "masks") or masks,
        )


def folder_description(name: str, task: str, classes: Mapping[str, int]) -> Description:
    """One class is the binary case, whatever it is called."""
    names = tuple(classes) if len(classes) > 1 else ()
    return Description(name, name, task, citation="your own data", layout=LAYOUT, classes=names)


def own_root(place: Path) -> Path:
    """The folder within an unpacked archive that holds images/: archives often have one folder around everything."""
    while not child(place, "images") and len(folders(place)) == 1:
        place = folders(place)[0]
    return place


def folder_examples(
    name: str,
    source: Path,
    table: Path | None,
    masks: Masks,
    classes: Mapping[str, int] = MappingProxyType({}),
    patients: re.Pattern[str] | None = None,
) -> list[Example]:
    """Examples of `source`; without a split in the table a fifth is set apart for testing, by patient if known.

    Args:
        patients: what of an image's name tells its patient: the group, or all that is found.
    """
    place = _Folders.within(source)
    pairs = _from_table(table, place) if table else _from_names(place)
    if not pairs:
        found = None if table else _in_subfolders(place)
        raise InputError(
            "holds no images", file=table or place.images, found=found, expected=LAYOUT, remedy="put your images there"
        )
    _check_ids(pairs, table)
    if patients:
        pairs = [dataclasses.replace(pair, patient=_patient(pair, patients)) for pair in pairs]
    pairs = _with_split(name, pairs, table or place.images)
    read_mask = _reader(pairs, masks, classes)
    return [
        Example(
            id=pair.id,
            split="train" if pair.split == "train" else "test",
            subset=pair.split,
            patient=pair.patient,
            read=paired(pair.image, pair.mask, read_mask),
        )
        for pair in sorted(pairs, key=lambda pair: pair.split != "train")
    ]


def left_out(source: Path, table: Path | None) -> list[str]:
    """Warnings of images of `source` that are not read."""
    place = _Folders.within(source)
    if table is None:
        inner = _in_subfolders(place)
        return [f"left out: {inner} (move them up, or list all images in a --table)"] if inner else []
    named = {pair.image.resolve() for pair in _from_table(table, place)}
    there = [*images(place.images, SUFFIXES), *below(place.images, SUFFIXES)] if place.images.is_dir() else []
    others = [file.relative_to(place.images).as_posix() for file in there if file.resolve() not in named]
    count = counted(len(others), "image")
    return [f"left out: {count} that {table.name} does not name: {listed(others)}"] if others else []


def _in_subfolders(place: _Folders) -> str | None:
    inner = [file.relative_to(place.images).as_posix() for file in below(place.images, SUFFIXES)]
    return f"{counted(len(inner), 'image')} in subfolders of {place.images.name}/: {listed(inner)}" if inner else None


def _reader(pairs: Sequence[_Pair], masks: Masks, classes: Mapping[str, int]) -> ReadMask:
    if masks == "classes":
        if len(classes) == 1:
            return lambda file: connected(read_classes(file, classes))
        return lambda file: read_classes(file, classes)
    if masks == "auto":
        return read_objects if _has_objects(pairs) else read_binary
    return read_mask if masks == "instances" else read_binary


def _has_objects(pairs: Sequence[_Pair]) -> bool:
    """Whether values stand for objects: yes as soon as one mask has two values beside the background."""
    return any(np.count_nonzero(np.unique(read_objects(pair.mask))) > 1 for pair in pairs)


def _from_names(place: _Folders) -> list[_Pair]:
    for folder in (place.images, place.masks):
        if not folder.is_dir():
            raise InputError("no such folder", file=folder, expected=LAYOUT, remedy="give their parent as --source")
    pictures = [(composed(image.stem), image) for image in images(place.images, SUFFIXES)]
    masks = _by_stem(place.masks)
    for name, image in pictures:
        if name not in masks:
            raise InputError(
                "has no mask",
                file=image,
                expected=f"{place.masks / name}{{{','.join(MASK_SUFFIXES)}}}",
                remedy="add the mask, or list the annotated images in a CSV file and give it as --table",
            )
    orphans = sorted(set(masks) - {name for name, _ in pictures})
    if orphans:
        remedy = "add the image, remove the mask, or list the annotated images in a CSV file and give it as --table"
        expected = f"{place.images / orphans[0]}{{{','.join(SUFFIXES)}}}"
        raise InputError("has no image", file=masks[orphans[0]], expected=expected, remedy=remedy)
    return [_Pair(image, masks[name], "", name) for name, image in pictures]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Masks by name; two of the same name are an `InputError`, for nobody knows which is meant."""
    found: dict[str, Path] = {}
    for path in images(folder, MASK_SUFFIXES) if folder.is_dir() else []:
        name = composed(path.stem)
        if name in found:
            remedy = "remove one of them, or name the right one in the column mask of a --table"
            raise InputError("is a second mask for the same image", file=path, found=found[name], remedy=remedy)
        found[name] = path
    return found


def _from_table(table: Path, place: _Folders) -> list[_Pair]:
    """Pairs of the rows of a CSV file but empty ones; files are looked for in images/ and masks/, then beside these."""
    try:
        titles, lines = read_rows(table)
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        remedy = "export it as CSV in UTF-8, or check the path after --table"
        expected = f"CSV, columns {', '.join(COLUMNS)}"
        raise InputError(f"cannot be read as a table: {error}", file=table, expected=expected, remedy=remedy) from error
    if "image" not in titles or not set(titles) <= set(COLUMNS) or len(set(titles)) < len(titles):
        expected, found = f"image, and any of {', '.join(COLUMNS[1:])}", ", ".join(titles)
        raise InputError("has other columns", file=table, found=found, expected=expected, remedy=_mend(titles))
    masks = functools.cache(lambda: _by_stem(place.masks))  # read once, and not where each row names its own
    rows = [(f"{table}, line {number}", row) for number, row in lines]
    cells = [(where, _cells(row, where)) for where, row in rows]
    return [_pair(row, where, place, masks) for where, row in cells if any(row.values())]


def _cells(row: dict[Any, Any], where: str) -> dict[str, str]:
    """The cells of a row by column; what stands beyond the last column is an `InputError`, unless it is empty."""
    beyond = [cell.strip() for cell in row.get(None, ())]
    if any(beyond):
        remedy = 'put quotes around a text that holds what separates cells ("Doe, Jane"), or remove what is too much'
        raise InputError("has more cells than there are columns", file=where, found=", ".join(beyond), remedy=remedy)
    return {title: (cell or "").strip() for title, cell in row.items() if title}


def _mend(titles: Sequence[str]) -> str:
    """What makes a table of these columns one that is read."""
    if doubled := [title for title in COLUMNS if titles.count(title) > 1]:
        return f"keep one of the columns {', '.join(doubled)}"
    if "image" in titles:
        others = (title or "one without a title" for title in titles if title not in COLUMNS)
        return f"remove the other columns: {', '.join(others)}"
    return "rename the columns in the first line of the file"


def _pair(row: dict[str, str], where: str, place: _Folders, masks: Callable[[], dict[str, Path]]) -> _Pair:
    image = _existing(row["image"], place.images, place.source, where)
    if row.get("mask"):
        mask = _existing(row["mask"], place.masks, place.source, where)
    else:
        found = masks().get(composed(image.stem))
        if found is None:
            remedy = "add the mask or name it in the column mask"
            raise InputError(f"no mask for {image.name}", file=where, expected=place.masks, remedy=remedy)
        mask = found
    if row.get("split", "") not in ("", "train", "test"):
        remedy = "validation images are drawn from the training images, anew in every repeat"
        raise InputError("unknown split", file=where, found=row["split"], expected="train or test", remedy=remedy)
    return _Pair(image, mask, row.get("split", ""), row.get("patient") or composed(image.stem))


def _existing(name: str, folder: Path, source: Path, where: str) -> Path:
    for path in (folder / name, source / name):
        if name and (file := existing(path)):
            return file
    remedy = "correct the name in this line, or add the file"
    expected = f"a file in {folder}"
    raise InputError("names a file that is not there", file=where, found=name, expected=expected, remedy=remedy)


def _patient(pair: _Pair, pattern: re.Pattern[str]) -> str:
    found = pattern.search(pair.id)
    if patient := found.group(found.lastindex or 0) if found else "":
        return patient
    remedy = "mend the pattern, name all images alike, or tell patients in the column patient of a --table"
    raise InputError("its name tells no patient", file=pair.image, expected=f"/{pattern.pattern}/", remedy=remedy)


def _check_ids(pairs: Sequence[_Pair], table: Path | None) -> None:
    """`InputError` where two images have the same id, told by their files or by the table that names one twice."""
    first: dict[str, Path] = {}
    for pair in pairs:
        if pair.id not in first:
            first[pair.id] = pair.image
        elif first[pair.id] == pair.image:
            remedy = "remove all but one of its rows"
            raise InputError(
                "names an image twice", file=table, found=pair.image, expected="every id once", remedy=remedy
            )
        else:
            expected = "another name, whatever the suffix and the folder"
            remedy = "rename one of them (and its mask), or remove the copy"
            problem = f"has the same id as another image, {pair.id}"
            raise InputError(problem, file=pair.image, found=first[pair.id], expected=expected, remedy=remedy)


def _with_split(name: str, pairs: list[_Pair], where: Path) -> list[_Pair]:
    given = {pair.split for pair in pairs}
    if given == {""}:
        return _drawn(name, pairs, where)
    if "" in given:
        missing = next(pair.image.name for pair in pairs if not pair.split)
        remedy = "fill the column, or remove it"
        raise InputError("split is given for some images only", file=where, found=f"none for {missing}", remedy=remedy)
    for split_name in {"train", "test"} - given:
        raise InputError(
            f"has no {split_name} images",
            file=where,
            found=f"{counted(len(pairs), 'image')}, all {pairs[0].split}",
            expected="train and test in the column split",
            remedy=f"give some images to {split_name}, or remove the column: a fifth is then set apart for testing",
        )
    return pairs


def _drawn(name: str, pairs: list[_Pair], where: Path) -> list[_Pair]:
    if len(pairs) < 2:
        remedy = "annotate more images"
        raise InputError("has too few images", file=where, found=1, expected="some to train and to test", remedy=remedy)
    ids, patients = [pair.id for pair in pairs], [pair.patient for pair in pairs]
    chosen = split(f"test images of {name}", ids, patients, 0, 1.0, TEST_SHARE, once=True)
    return [dataclasses.replace(pair, split="test" if pair.id in chosen.validation else "train") for pair in pairs]
