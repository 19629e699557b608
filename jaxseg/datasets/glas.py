"""GlaS: colon glands of the MICCAI 2015 challenge."""

import csv
import functools
from pathlib import Path

from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example, paired
from jaxseg.datasets.image_files import LABEL_SUFFIXES, read_labels
from jaxseg.datasets.tree import companion, find_root, images, not_found
from jaxseg.errors import InputError

DESCRIPTION = Description(
    name="glas",
    title="GlaS (Warwick-QU), colon glands",
    task="glands",
    counts={"train": 85, "test": 80},
    subsets={"train": 85, "testA": 60, "testB": 20},
    image_sizes="567-775 x 430-522 pixels, 20x, several sizes",
    licence="for research only, with citation",
    citation="Sirinukunwattana et al., Gland segmentation in colon histology images: the GlaS challenge contest, "
    "Medical Image Analysis 35, 2017.",
    how_to_get="Register at https://warwick.ac.uk/fac/cross_fac/tia/data/glascontest/, download the Warwick QU "
    "dataset and unpack it.",
    layout="Warwick QU Dataset (Released 2016_07_08)/ with train_N.bmp, testA_N.bmp, testB_N.bmp, an _anno.bmp for "
    "each, and Grade.csv (optional: patients)",
    differences_from_paper="the paper says 88 training images, the release has 85",
    overlap="none known",
)

_STEM = r"(train|testA|testB)_\d+"  # in full: train_1_anno begins alike


def examples(manual_dir: Path) -> list[Example]:
    """Images of the flat folder; patients from Grade.csv where it is there."""
    find = functools.partial(images, suffixes=LABEL_SUFFIXES, stem=_STEM)
    root = find_root(manual_dir, DESCRIPTION, lambda folder: bool(find(folder)))
    if root is None:
        raise not_found(manual_dir, DESCRIPTION)
    patients = _patients(root)
    return [
        Example(
            id=image.stem,
            split="train" if image.stem.startswith("train") else "test",
            subset=image.stem.split("_")[0],
            patient=patients.get(image.stem, image.stem),
            read=paired(image, companion(image, root, f"{image.stem}_anno{image.suffix}"), read_labels),
        )
        for image in sorted(find(root), key=lambda image: not image.stem.startswith("train"))
    ]


def _patients(root: Path) -> dict[str, str]:
    """Image -> patient, from the columns "name" and "patient ID"; empty without the file."""
    file = next((path for path in sorted(root.iterdir()) if path.name.lower() == "grade.csv"), None)
    if file is None:
        return {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            header, *lines = [[cell.strip() for cell in line] for line in csv.reader(stream) if line]
        name, patient = (
            next(index for index, title in enumerate(header) if word in title.lower()) for word in ("name", "patient")
        )
        return {line[name]: line[patient] for line in lines if line[patient]}
    except (ValueError, IndexError, RuntimeError, StopIteration, csv.Error) as error:
        raise InputError(
            "cannot be read as the table of patients",
            file=file,
            expected="columns name, patient ID, …",
            remedy="unpack the archive again; without this file each image counts as a patient of its own",
        ) from error
