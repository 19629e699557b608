"""One annotated image of an official tree, not read yet."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.image_files import read_pixels
from jaxseg.errors import InputError

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), RGB
InstanceMap = npt.NDArray[np.int32]  # (H, W), 0 background, one positive number per object
Read = Callable[[], tuple[Pixels, InstanceMap]]
_OTHER = "replace the file by the one that belongs to the image, then repeat the command"
_LYING = (
    "turn one of the two (images are read as viewers show them, turned as their EXIF orientation says), or " + _OTHER
)


@dataclass(frozen=True)
class Example:
    """Where an image belongs, and how to read it.

    Attributes:
        id: unique within the dataset; it becomes part of file names.
        split: "train" or "test"; subset: the authors' own name of the part, such as "testA".
        patient: name of the patient; the id where the patient is unknown.
        read: gives pixels and instance map, of equal height and width; in datasets of several classes a class map
            (0 background, 1, 2, … in the order of the description's classes) takes the place of the instance map.
    """

    id: str
    split: Literal["train", "test"]
    subset: str
    patient: str
    read: Read


def paired(image: Path, annotation: Path, read_annotation: Callable[[Path], npt.NDArray[Any]]) -> Read:
    """Reader of an image file and the file that annotates it; a difference in size is an `InputError`."""

    def read() -> tuple[Pixels, InstanceMap]:
        pixels, instances = read_pixels(image), read_annotation(annotation)
        if instances.shape != pixels.shape[:2]:
            raise InputError(
                "annotation and image differ in size",
                file=annotation,
                found=f"{_size(instances)}",
                expected=f"{_size(pixels)}, the size of {image}",
                remedy=_LYING if instances.shape == pixels.shape[1::-1] else _OTHER,
            )
        return pixels, instances.astype(np.int32, copy=False)

    return read


def _size(array: npt.NDArray[Any]) -> str:
    return f"height {array.shape[0]}, width {array.shape[1]}"
