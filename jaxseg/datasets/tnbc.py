"""TNBC: nuclei of triple-negative breast cancers, 50 tiles of 11 patients."""

import re
from collections.abc import Collection
from pathlib import Path

from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example, paired
from jaxseg.datasets.image_files import LABEL_SUFFIXES
from jaxseg.datasets.regions import read_binary
from jaxseg.datasets.tree import child, companion, find_root, folders, images, not_found

TEST_PATIENTS = ("02", "09", "10", "11")  # with these the numbers are the paper's, and no patient is on both sides

DESCRIPTION = Description(
    name="tnbc",
    title="TNBC, nuclei of triple-negative breast cancers",
    task="nuclei",
    counts={"train": 34, "test": 16},
    subsets={"train": 34, "test": 16},
    image_sizes="512 x 512 pixels, 40x",
    licence="CC BY 4.0",
    citation="Naylor et al., Segmentation of nuclei in histopathology images by deep regression of the distance map, "
    "IEEE Transactions on Medical Imaging 38(2), 2019.",
    how_to_get="Download TNBC_NucleiSegmentation.zip from https://zenodo.org/records/1175282 and unpack it.",
    layout="TNBC_NucleiSegmentation/{Slide_NN,GT_NN}/NN_k.png, NN = 01 … 11",
    differences_from_paper="there is no official split and the paper does not give its own; here patients 02, 09, 10 "
    "and 11 are the 16 test images. The masks tell no nuclei apart: objects are connected regions",
    overlap="none known",
)


def examples(manual_dir: Path, test_patients: Collection[str] = TEST_PATIENTS) -> list[Example]:
    """All tiles, training patients first; a patient is a slide."""
    root = find_root(manual_dir, DESCRIPTION, lambda folder: bool(_slides(folder)))
    if root is None:
        raise not_found(manual_dir, DESCRIPTION)
    found = []
    for number, slide in _slides(root):
        patient = f"{int(number):02}"
        split = "test" if patient in test_patients else "train"
        for image in images(slide, LABEL_SUFFIXES):
            mask = companion(image, child(root, f"GT_{number}") or root / f"GT_{number}", f"{image.stem}.png")
            read = paired(image, mask, read_binary)
            found.append(Example(image.stem, "test" if split == "test" else "train", split, patient, read))
    return sorted(found, key=lambda example: example.split != "train")


def _slides(root: Path) -> list[tuple[str, Path]]:
    """(number as it is spelt, folder of images); a later release adds slides of brains, 12 and further ones."""
    named = ((re.fullmatch(r"slide_(0?[1-9]|10|11)", folder.name.lower()), folder) for folder in folders(root))
    return [(match[1], folder) for match, folder in named if match]
