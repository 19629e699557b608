"""CPM17: nuclei of the MICCAI 2017 contest, in the two forms in which the data set is passed on."""

from pathlib import Path

from jaxseg.datasets.annotation_files import read_mat, read_text
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example, paired
from jaxseg.datasets.image_files import LABEL_SUFFIXES
from jaxseg.datasets.tree import child, companion, find_root, folders, images, not_found

DESCRIPTION = Description(
    name="cpm17",
    title="CPM17, nuclei of four tumours",
    task="nuclei",
    counts={"train": 32, "test": 32},
    subsets={"train": 32, "test": 32},
    image_sizes="500 x 500 to 600 x 600 pixels, 40x",
    licence="none found with the files: ask the organisers of the contest before any but scientific use",
    citation="Vu et al., Methods for segmentation and classification of digital microscopy tissue images, Frontiers in "
    "Bioengineering and Biotechnology 7, 2019.",
    how_to_get="Follow https://github.com/vqdang/hover_net to the pack of its authors, or take the contest's own "
    "training and test sets; unpack them.",
    layout="cpm17/{train,test}/{Images/image_NN.png,Labels/image_NN.mat}, or a folder of training and one of test "
    "images, each with image_NN.png and image_NN_mask.txt",
    differences_from_paper="the paper says 31 training and 31 test images, the release has 32 and 32",
    overlap="probably cut from TCGA slides, on which Lunit's self-supervised weights (SSLPathology) were trained",
)

SPLITS = ("train", "test")


def examples(manual_dir: Path) -> list[Example]:
    """Images of either form. The same stems stand in both splits, so the split is part of the id."""
    for accept, read_split in ((_is_pack, _pack), (_is_contest, _contest)):
        root = find_root(manual_dir, DESCRIPTION, accept)
        if root is not None:
            return [example for split in SPLITS for example in read_split(root, split)]
    raise not_found(manual_dir, DESCRIPTION)


def _example(image: Path, split: str, annotation: Path) -> Example:
    name = f"{split}_{image.stem}"
    read = paired(image, annotation, read_mat if annotation.suffix == ".mat" else read_text)
    return Example(name, "train" if split == "train" else "test", split, patient=name, read=read)


def _is_pack(folder: Path) -> bool:
    parts = [child(folder, split) for split in SPLITS]
    return all(part and child(part, "Images") and child(part, "Labels") for part in parts)


def _pack(root: Path, split: str) -> list[Example]:
    part = child(root, split) or root
    pictures, labels = child(part, "Images") or part, child(part, "Labels") or part
    return [
        _example(image, split, companion(image, labels, f"{image.stem}.mat"))
        for image in images(pictures, LABEL_SUFFIXES)
    ]


def _is_contest(folder: Path) -> bool:
    return all(_contest_folders(folder, split) for split in SPLITS)


def _contest_folders(root: Path, split: str) -> list[Path]:
    """Folders named after the split, such as training_set, that hold annotations as text."""
    return [
        folder for folder in folders(root) if split in folder.name.lower() and images(folder, (".txt",), r".*_mask")
    ]


def _contest(root: Path, split: str) -> list[Example]:
    return [
        _example(image, split, companion(image, folder, f"{image.stem}_mask.txt"))
        for folder in _contest_folders(root, split)
        for image in images(folder, LABEL_SUFFIXES, r"image_?\d+")  # not their drawings, image_NN_poly.png
    ]
