"""KUMAR: nuclei of seven organs, in the two forms in which the data set is passed on."""

import re
from pathlib import Path

from jaxseg.datasets.annotation_files import read_mat, read_outlines
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example, InstanceMap, Pixels, Read, paired
from jaxseg.datasets.image_files import LABEL_SUFFIXES, read_pixels
from jaxseg.datasets.tree import child, companion, find_root, images, not_found

DESCRIPTION = Description(
    name="kumar",
    title="KUMAR, nuclei of seven organs",
    task="nuclei",
    counts={"train": 16, "test": 14},
    subsets={"train": 16, "test_same": 8, "test_diff": 6},
    image_sizes="1000 x 1000 pixels, 40x",
    licence="CC BY-NC-SA 4.0",
    citation="Kumar et al., A dataset and a technique for generalized nuclear segmentation for computational "
    "pathology, IEEE Transactions on Medical Imaging 36(7), 2017.",
    how_to_get="Either follow https://github.com/vqdang/hover_net to the pack of its authors, or download the MoNuSeg "
    "training data at https://monuseg.grand-challenge.org/Data/; unpack it.",
    layout="kumar/{train,test_same,test_diff}/{Images/*.tif,Labels/*.mat}, or Tissue Images/*.tif with "
    "Annotations/*.xml",
    differences_from_paper="none: 16 training and 14 test images (8 of organs seen in training, 6 of others)",
    overlap="cut from TCGA slides; Lunit's self-supervised weights (SSLPathology) were trained on TCGA slides",
)

IDS = {  # sample codes of TCGA; one patient each
    "train": "18-5592 38-6178 49-4488 50-5931 A7-A13E A7-A13F AR-A1AK AR-A1AS B0-5711 HE-7128 HE-7129 HE-7130 "
    "G9-6336 G9-6348 G9-6356 G9-6363",
    "test_same": "21-5784 21-5786 B0-5698 B0-5710 CH-5767 E2-A14V E2-A1B5 G9-6362",
    "test_diff": "AY-A8YK NH-A8F7 DK-A2I6 G2-A2EK KB-A93J RD-A8N9",
}
_SUBSET_OF = {code: subset for subset, codes in IDS.items() for code in codes.split()}


def examples(manual_dir: Path) -> list[Example]:
    """Images of the pack if it is there, otherwise those of MoNuSeg's that belong to KUMAR."""
    for accept, read_tree in ((_is_pack, _pack), (_is_monuseg, _monuseg)):
        root = find_root(manual_dir, DESCRIPTION, accept)
        if root is not None:
            return read_tree(root)
    raise not_found(manual_dir, DESCRIPTION)


def _is_pack(folder: Path) -> bool:
    return all(child(folder, subset) for subset in IDS)


def _pack(root: Path) -> list[Example]:
    found = []
    for subset in IDS:
        folder = child(root, subset)
        pictures, labels = (child(folder, name) if folder else None for name in ("Images", "Labels"))
        for image in images(pictures, LABEL_SUFFIXES) if pictures and labels else []:
            annotation = companion(image, labels or root, f"{image.stem}.mat")
            found.append(_example(image, subset, paired(image, annotation, read_mat)))
    return found


def _is_monuseg(folder: Path) -> bool:
    return bool(child(folder, "Tissue Images") and child(folder, "Annotations"))


def _monuseg(root: Path) -> list[Example]:
    pictures, outlines = child(root, "Tissue Images"), child(root, "Annotations")
    assert pictures
    assert outlines
    found = []
    for image in images(pictures, LABEL_SUFFIXES):
        code = re.match(r"TCGA-(\w+-\w+)", image.stem)
        subset = _SUBSET_OF.get(code[1]) if code else None
        if subset:
            found.append(_example(image, subset, _outlined(image, companion(image, outlines, f"{image.stem}.xml"))))
    order = list(IDS)
    return sorted(found, key=lambda example: order.index(example.subset))


def _example(image: Path, subset: str, read: Read) -> Example:
    return Example(image.stem, "train" if subset == "train" else "test", subset, patient=image.stem, read=read)


def _outlined(image: Path, annotation: Path) -> Read:
    def read() -> tuple[Pixels, InstanceMap]:
        pixels = read_pixels(image)
        return pixels, read_outlines(annotation, pixels.shape[:2])

    return read
