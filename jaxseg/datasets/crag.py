"""CRAG version 2: colon glands in large images."""

from pathlib import Path

from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example, paired
from jaxseg.datasets.image_files import LABEL_SUFFIXES, read_labels
from jaxseg.datasets.tree import child, companion, find_root, images, not_found

DESCRIPTION = Description(
    name="crag",
    title="CRAG version 2, colon glands",
    task="glands",
    counts={"train": 173, "test": 40},
    subsets={"train": 173, "test": 40},
    image_sizes="about 1512 x 1512 pixels, 20x, not all equal",
    licence="as stated on the download page (registration); for research, with citation",
    citation="Graham et al., MILD-Net: minimal information loss dilated network for gland instance segmentation in "
    "colon histology images, Medical Image Analysis 52, 2019.",
    how_to_get="Register at https://warwick.ac.uk/fac/cross_fac/tia/data/mildnet/, download CRAG version 2 and "
    "unpack it.",
    layout="CRAG/{train,valid}/{Images,Annotation}/NAME.png (also read: test for valid, Annotations for Annotation)",
    differences_from_paper="the paper says 160 training images, the release has 173",
    overlap="none known",
)

_FOLDERS = {"train": ("train",), "test": ("valid", "test")}  # the release and its own README differ
_ANNOTATIONS = ("Annotation", "Annotations")


def examples(manual_dir: Path) -> list[Example]:
    """Images of train and valid (or test); the Overlay folder is not read."""
    root = find_root(manual_dir, DESCRIPTION, lambda folder: bool(_part(folder, "train")))
    if root is None:
        raise not_found(manual_dir, DESCRIPTION)
    found = []
    for split in ("train", "test"):
        pictures, annotations = _part(root, split) or (None, root)
        for image in images(pictures, LABEL_SUFFIXES) if pictures else []:
            annotation = companion(image, annotations, f"{image.stem}.png", image.name)
            found.append(
                Example(image.stem, split, split, patient=image.stem, read=paired(image, annotation, read_labels))
            )
    return found


def _part(root: Path, split: str) -> tuple[Path, Path] | None:
    """(images, annotations) of one split."""
    folder = child(root, *_FOLDERS[split])
    pictures = child(folder, "Images") if folder else None
    annotations = child(folder, *_ANNOTATIONS) if folder else None
    return (pictures, annotations) if pictures and annotations else None
