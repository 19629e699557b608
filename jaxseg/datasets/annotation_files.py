"""Annotations that are no images: MATLAB files, text, and outlines drawn in Aperio's viewer."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.image_files import whole_numbers
from jaxseg.datasets.mat_file import variables
from jaxseg.errors import InputError

_AGAIN = "unpack the archive again, or replace the file by a good copy"


def read_mat(file: Path) -> npt.NDArray[np.int32]:
    """The array `inst_map` (H, W) of a MATLAB file, as in the packs of HoVer-Net's authors."""
    try:
        content = dict(variables(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as a MATLAB file: {error}", file=file, remedy=_AGAIN) from error
    if "inst_map" not in content:
        names = ", ".join(content) or "nothing"
        raise InputError("lacks its instance map", file=file, found=names, expected="inst_map", remedy=_AGAIN)
    values = content["inst_map"]
    if values is None:
        found = "text, a structure or the like"
        raise InputError("is not a label map", file=file, found=found, expected="whole numbers", remedy=_AGAIN)
    return whole_numbers(values, file)


def read_text(file: Path) -> npt.NDArray[np.int32]:
    """Instance map (H, W) in the text form of the MICCAI 2017 contest: "width height", then labels row by row."""
    try:
        numbers = np.array(file.read_text().split(), np.int64)
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(f"cannot be read as numbers: {error}", file=file, remedy=_AGAIN) from error
    if len(numbers) < 2 or numbers[:2].min() < 1 or len(numbers) != 2 + numbers[0] * numbers[1]:
        raise InputError(
            "does not hold as many labels as it announces",
            file=file,
            found=f"first line {' '.join(map(str, numbers[:2]))}, then {max(len(numbers) - 2, 0)} labels",
            expected="first line: width height; then width x height labels",
            remedy=_AGAIN,
        )
    width, height = numbers[:2]
    return whole_numbers(numbers[2:].reshape(height, width), file)


def read_outlines(file: Path, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Instance map of the regions in an Aperio XML file, on an image of `shape` (height, width).

    Vertices are fractions of pixels from the image's top left corner. A pixel belongs to a region when its centre
    lies inside; where regions overlap, the earlier one keeps it, as in the MATLAB code of KUMAR's authors.
    Numbers follow the order in the file; a region to which no pixel is left has none.
    """
    from skimage.draw import polygon

    instances = np.zeros(shape, np.int32)
    number = 0
    for outline in _outlines(file):
        rows, columns = polygon(outline[:, 1] - 0.5, outline[:, 0] - 0.5, shape)
        free = instances[rows, columns] == 0
        if free.any():
            number += 1
            instances[rows[free], columns[free]] = number
    return instances


def _outlines(file: Path) -> list[npt.NDArray[np.float64]]:
    """(vertices, 2) arrays of x, y, one per region with at least three vertices."""
    try:
        root = ElementTree.parse(file).getroot()
        outlines = [
            np.array([(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in region.iter("Vertex")])
            for region in root.iter("Region")
        ]
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise InputError(f"cannot be read as Aperio outlines: {error!r}", file=file, remedy=_AGAIN) from error
    if root.tag != "Annotations" or not all(np.isfinite(outline).all() for outline in outlines):
        expected = "Annotations/Annotation/Regions/Region/Vertices/Vertex with finite X and Y"
        raise InputError("is not a file of Aperio outlines", file=file, expected=expected, remedy=_AGAIN)
    return [outline for outline in outlines if len(outline) >= 3]
