"""The card beside prepared data: what it holds, image by image, readable without any builder.

Its presence means that the data is whole: it is written last into a folder that is renamed into place.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from jaxseg.files import read_value, write_json

FILE_NAME = "jaxseg.json"


@dataclass(frozen=True)
class Row:
    """One image.

    Attributes:
        id, split, subset, patient: as in `Example`.
        height, width: pixels.
        objects: number of objects; foreground: their share of the pixels, 0 … 1.
        pixels_sha256, instances_sha256: digests of shape and content.
        looks: perceptual hash of the image; empty in data prepared before there was one.
        specks: how many of the objects have less than `regions.SPECKS` pixels; 0 in data prepared before they were
            counted.
        pieces: connected regions of one object; more than `objects` where a number of the annotation lies in several
            places. 0 in data prepared before they were counted.
    """

    id: str
    split: str
    subset: str
    patient: str
    height: int
    width: int
    objects: int
    foreground: float
    pixels_sha256: str
    instances_sha256: str
    looks: str = ""
    specks: int = 0
    pieces: int = 0


@dataclass(frozen=True)
class Card:
    """A prepared dataset.

    Attributes:
        name, title, task, licence, citation: from the description.
        complete: False where counts differ from the official ones and that was allowed.
        fingerprint: digest of the task, the classes and of all images, their annotations, splits and patients.
        files: name -> bytes of each file of the folder.
        warnings: what the checks found odd.
        images: rows in the order of the records, training images first.
        classes: names of the foreground classes where the masks tell several, in the order of their values 1, 2, …;
            empty in the ordinary case of one, which is then called like the task.
    """

    name: str
    title: str
    task: str
    licence: str
    citation: str
    complete: bool
    fingerprint: str
    files: dict[str, int]
    warnings: tuple[str, ...]
    images: tuple[Row, ...]
    classes: tuple[str, ...] = ()

    def rows(self, split: str) -> list[Row]:
        return [row for row in self.images if row.split == split]

    def write(self, folder: Path) -> None:
        write_json(folder / FILE_NAME, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the card of a prepared folder; `InputError` where it is missing or damaged."""
        file = folder / FILE_NAME
        remedy = f"delete {folder} and prepare the dataset again"
        return read_value(file, cls._from_json, what="a complete card", remedy=remedy)

    @classmethod
    def _from_json(cls, value: dict[str, Any]) -> Self:
        images = tuple(Row(**row) for row in value["images"])
        texts = {name: tuple(value.get(name, ())) for name in ("warnings", "classes")}
        card = cls(**{**value, **texts, "images": images})
        if card.fingerprint != (found := fingerprint(card.task, images, card.classes)):
            raise ValueError(f"the fingerprint of its images is {found[:12]}, not {card.fingerprint[:12]} as it says")
        return card


def fingerprint(task: str, rows: Sequence[Row], classes: Sequence[str] = ()) -> str:
    """Hex SHA-256 of what training and scoring depend on; the same for the same content on every machine."""
    digest = hashlib.sha256("\n".join(["jaxseg dataset", task, *classes, ""]).encode())
    for row in rows:
        parts = (row.id, row.split, row.subset, row.patient, row.pixels_sha256, row.instances_sha256)
        digest.update("\t".join(parts).encode() + b"\n")
    return digest.hexdigest()


def digest(array: npt.NDArray[Any]) -> str:
    """Hex SHA-256 of an array's shape and content."""
    content = hashlib.sha256(f"{array.shape}".encode())
    content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()
