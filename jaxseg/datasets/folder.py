"""A lab's own images: a folder `images`, a folder `masks`, files with the same stems."""

import csv
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.classes import read_classes
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example, paired
from jaxseg.datasets.image_files import MASK_SUFFIXES, SUFFIXES, read_mask
from jaxseg.datasets.regions import connected, read_binary, read_objects
from jaxseg.datasets.split import split
from jaxseg.datasets.tree import child, folders, images
from jaxseg.errors import InputError

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


def folder_description(name: str, task: str, title: str | None, classes: Mapping[str, int]) -> Description:
    """One class is the binary case, whatever it is called."""
    names = tuple(classes) if len(classes) > 1 else ()
    return Description(name, title or name, task, citation="your own data", layout=LAYOUT, classes=names)


def own_root(place: Path) -> Path:
    """The folder within an unpacked archive that holds images/: archives often have one folder around everything."""
    while not child(place, "images") and len(folders(place)) == 1:
        place = folders(place)[0]
    return place


def folder_examples(
    name: str, source: Path, table: Path | None, masks: Masks, classes: Mapping[str, int] = MappingProxyType({})
) -> list[Example]:
    """Examples of `source`; without a split in the table a fifth is set apart for testing, by patient if known."""
    pairs = _from_table(table, source) if table else _from_names(source)
    if not pairs:
        raise InputError(
            "holds no images", file=table or source / "images", expected=LAYOUT, remedy="put your images there"
        )
    pairs = _with_split(name, pairs)
    read_mask = _reader(pairs, masks, classes)
    return [
        Example(
            id=pair.image.stem,
            split="train" if pair.split == "train" else "test",
            subset=pair.split,
            patient=pair.patient,
            read=paired(pair.image, pair.mask, read_mask),
        )
        for pair in sorted(pairs, key=lambda pair: pair.split != "train")
    ]


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


def _from_names(source: Path) -> list[_Pair]:
    for folder in (source / "images", source / "masks"):
        if not folder.is_dir():
            raise InputError("no such folder", file=folder, expected=LAYOUT, remedy="give their parent as --source")
    pictures = images(source / "images", SUFFIXES)
    masks = _by_stem(source / "masks")
    for image in pictures:
        if image.stem not in masks:
            raise InputError(
                "has no mask",
                file=image,
                expected=f"{source / 'masks' / image.stem}{{{','.join(MASK_SUFFIXES)}}}",
                remedy="add the mask, or list the annotated images in a CSV file and give it as --table",
            )
    orphans = sorted(set(masks) - {image.stem for image in pictures})
    if orphans:
        remedy = "add the image, remove the mask, or list the annotated images in a CSV file and give it as --table"
        expected = f"{source / 'images' / orphans[0]}{{{','.join(SUFFIXES)}}}"
        raise InputError("has no image", file=masks[orphans[0]], expected=expected, remedy=remedy)
    return [_Pair(image, masks[image.stem], "", image.stem) for image in pictures]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Masks by name; two of the same name are an `InputError`, for nobody knows which is meant."""
    found: dict[str, Path] = {}
    for path in images(folder, MASK_SUFFIXES) if folder.is_dir() else []:
        if path.stem in found:
            remedy = "remove one of them, or name the right one in the column mask of a --table"
            raise InputError("is a second mask for the same image", file=path, found=found[path.stem], remedy=remedy)
        found[path.stem] = path
    return found


def _from_table(table: Path, source: Path) -> list[_Pair]:
    """Pairs of the rows of a CSV file; files are looked for in images/ and masks/, then in `source` itself."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            titles = tuple(reader.fieldnames or ())
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        remedy = "export it as CSV in UTF-8, or check the path after --table"
        expected = f"CSV, columns {', '.join(COLUMNS)}"
        raise InputError(f"cannot be read as a table: {error}", file=table, expected=expected, remedy=remedy) from error
    if "image" not in titles or not set(titles) <= set(COLUMNS):
        expected = f"image, and any of {', '.join(COLUMNS[1:])}"
        remedy = "rename the columns in the first line of the file"
        raise InputError("has other columns", file=table, found=", ".join(titles), expected=expected, remedy=remedy)
    return [_pair(row, f"{table}, line {line}", source) for line, row in enumerate(rows, start=2)]


def _pair(row: dict[str, str], where: str, source: Path) -> _Pair:
    image = _existing(row["image"], source, "images", where)
    if row.get("mask"):
        mask = _existing(row["mask"], source, "masks", where)
    else:
        found = _by_stem(source / "masks").get(image.stem)
        if found is None:
            remedy = "add the mask or name it in the column mask"
            raise InputError(f"no mask for {image.name}", file=where, expected=source / "masks", remedy=remedy)
        mask = found
    if row.get("split", "") not in ("", "train", "test"):
        remedy = "validation images are drawn from the training images, anew in every repeat"
        raise InputError("unknown split", file=where, found=row["split"], expected="train or test", remedy=remedy)
    return _Pair(image, mask, row.get("split", ""), row.get("patient") or image.stem)


def _existing(name: str, source: Path, kind: str, where: str) -> Path:
    for path in (source / kind / name, source / name):
        if name and path.is_file():
            return path
    remedy = "correct the name in this line, or add the file"
    expected = f"a file in {source / kind}"
    raise InputError("names a file that is not there", file=where, found=name, expected=expected, remedy=remedy)


def _with_split(name: str, pairs: list[_Pair]) -> list[_Pair]:
    given = {pair.split for pair in pairs}
    if given == {""}:
        return _drawn(name, pairs)
    if "" in given:
        missing = next(pair.image.name for pair in pairs if not pair.split)
        raise InputError(
            "split is given for some images only", found=f"none for {missing}", remedy="fill the column, or remove it"
        )
    return pairs


def _drawn(name: str, pairs: list[_Pair]) -> list[_Pair]:
    by_stem = functools.partial(map, lambda pair: pair.image.stem)
    ids = list(by_stem(pairs))
    if len(set(ids)) < len(ids):  # left to the check of ids, which names the two
        return [dataclasses.replace(pair, split="train") for pair in pairs]
    chosen = split(f"test images of {name}", ids, [pair.patient for pair in pairs], 0, 1.0, TEST_SHARE)
    return [
        dataclasses.replace(pair, split="test" if pair.image.stem in chosen.validation else "train") for pair in pairs
    ]
