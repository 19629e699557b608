"""Bad trees and files: each is refused with the file's name and a remedy, and nothing half-prepared stays behind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import io

from jaxseg.datasets import is_prepared, prepare, prepare_folder
from jaxseg.errors import InputError

Damage = Callable[[Path], object]
GLAS = "Warwick QU Dataset (Released 2016_07_08)"
TNBC = "TNBC_NucleiSegmentation"
OUTLINES = (
    "<Annotations><Annotation><Regions><Region><Vertices>{}</Vertices></Region></Regions></Annotation></Annotations>"
)
LAUGHS = '<!DOCTYPE a [<!ENTITY a0 "ha">{}]><Annotations>&a9;</Annotations>'.format(
    "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
)


def text(name: str, content: str | bytes) -> Damage:
    """Write a file of this content."""
    raw = content if isinstance(content, bytes) else content.encode()
    return lambda root: (root / name).write_bytes(raw)


def cut(name: str, share: float = 0.5) -> Damage:
    def shorten(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: int(share * len(content))])

    return shorten


def gone(name: str) -> Damage:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def array(name: str, values: np.ndarray, **options: object) -> Damage:
    """Write an image of this content."""
    return lambda root: Image.fromarray(values).save(root / name, **options)


def mat(name: str, values: object, key: str = "inst_map") -> Damage:
    return lambda root: io.savemat(root / name, {key: values})


def folder_instead(name: str) -> Damage:
    def replace(root: Path) -> None:
        (root / name).unlink()
        (root / name).mkdir()

    return replace


def twice(name: str, copy: str) -> Damage:
    return lambda root: shutil.copytree(root / name, root / copy)


def masks_of(values: list[int]) -> Damage:
    """Own masks of these values, in stripes."""
    stripes = np.resize(np.array(values, np.uint8), (9, 12))

    def write(root: Path) -> None:
        for file in (root / "masks").iterdir():
            Image.fromarray(stripes).save(file)

    return write


def values_untitled(root: Path) -> None:
    """A table of classes whose second column has another title."""
    (root / "classes.json").unlink()
    (root / "classes.csv").write_text("class;grey\ngland;1\n")


def grey(shape: tuple[int, ...], kind: type = np.uint8) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(kind)


K = "kumar/train/Labels/TCGA-18-5592-01Z.mat"
X = "TCGA-18-5592-01Z"
BAD: dict[str, tuple[str, Damage, str]] = {  # what is bad: (dataset, what makes it so, what the message names)
    "image cut short": ("glas", cut(f"{GLAS}/train_1.bmp"), r"train_1\.bmp: cannot be read"),
    "image empty": ("glas", text(f"{GLAS}/train_1.bmp", ""), r"train_1\.bmp: cannot be read"),
    "image is text": ("glas", text(f"{GLAS}/testA_1.bmp", "<html>"), r"testA_1\.bmp: cannot be read"),
    "image is a folder": ("glas", folder_instead(f"{GLAS}/train_1.bmp"), r"train_1\.bmp: cannot be read"),
    "image of another format": (
        "glas",
        array(f"{GLAS}/train_1.bmp", grey((9, 12)), format="GIF"),
        r"train_1\.bmp: cann",
    ),
    "image of 16 bits": ("glas", array(f"{GLAS}/train_1.bmp", grey((9, 12), np.uint16), format="TIFF"), "not an 8-bit"),
    "annotation gone": ("glas", gone(f"{GLAS}/train_2_anno.bmp"), r"train_2\.bmp: has no annotation"),
    "annotation cut short": ("glas", cut(f"{GLAS}/train_2_anno.bmp"), r"train_2_anno\.bmp: cannot be read"),
    "annotation of another size": ("glas", array(f"{GLAS}/train_2_anno.bmp", grey((9, 13))), r"_anno\.bmp.*size"),
    "annotation with loss": ("glas", array(f"{GLAS}/train_2_anno.bmp", grey((9, 12)), format="JPEG"), r"_anno\.bmp"),
    "annotation in colour": ("glas", array(f"{GLAS}/train_2_anno.bmp", grey((9, 12, 3))), r"_anno\.bmp: is a coloured"),
    "patients without a header": ("glas", text(f"{GLAS}/Grade.csv", "train_1,7\n"), r"Grade\.csv"),
    "patients empty": ("glas", text(f"{GLAS}/Grade.csv", ""), r"Grade\.csv"),
    "patients cut short": ("glas", text(f"{GLAS}/Grade.csv", "name,patient ID\ntrain_1\n"), r"Grade\.csv"),
    "no test images": ("glas", gone(f"{GLAS}/testA_1.bmp"), "glas has no test images"),
    "two copies": ("glas", twice(GLAS, "copy"), "holds dataset glas more than once.*copy"),
    "tree gone": ("glas", gone(GLAS), "does not hold the files of dataset glas"),
    "annotations gone": ("crag", gone("CRAG/train/Annotation"), "does not hold the files of dataset crag"),
    "one annotation gone": ("crag", gone("CRAG/valid/Annotation/test_1.png"), r"test_1\.png: has no annotation"),
    "test part gone": ("crag", gone("CRAG/valid"), "crag has no test images"),
    "fractions in an annotation": (
        "crag",
        array("CRAG/train/Annotation/train_1.png", np.full((9, 12), 0.5, np.float32), format="TIFF"),
        r"train_1\.png: has labels that are no whole numbers",
    ),
    "mat without its key": ("kumar", mat(K, grey((9, 12)), "type_map"), rf"{X}\.mat: lacks.*type_map"),
    "mat is text": ("kumar", text(K, "no matlab file" * 20), rf"{X}\.mat: cannot be read"),
    "mat of another kind": ("kumar", text(K, b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\0\2IM"), rf"{X}\.mat: cannot"),
    "mat cut short": ("kumar", cut(K), rf"{X}\.mat: cannot be read"),
    "mat cut in its header": ("kumar", cut(K, 0.05), rf"{X}\.mat: cannot be read"),
    "mat with fractions": ("kumar", mat(K, np.full((9, 12), 0.5)), rf"{X}\.mat: has labels that are no whole"),
    "mat with negatives": ("kumar", mat(K, np.full((9, 12), -1)), rf"{X}\.mat: has labels out of range"),
    "mat with planes": ("kumar", mat(K, np.zeros((9, 12, 2))), rf"{X}\.mat: is not a label map"),
    "mat of words": ("kumar", mat(K, "words"), rf"{X}\.mat: is not a label map"),
    "mat of another size": ("kumar", mat(K, np.zeros((12, 9))), rf"{X}\.mat: .*differ in size"),
    "mat gone": ("kumar", gone(K), rf"{X}\.tif: has no annotation"),
    "labels gone": ("kumar", gone("kumar/train/Labels"), "kumar has no train images"),
    "outlines gone": ("monuseg", gone(f"Annotations/{X}.xml"), rf"{X}\.tif: has no annotation"),
    "outlines cut short": ("monuseg", text(f"Annotations/{X}.xml", "<Annotations><Anno"), rf"{X}\.xml: cannot be"),
    "outlines of something else": ("monuseg", text(f"Annotations/{X}.xml", "<svg/>"), rf"{X}\.xml: is not a file"),
    "outlines of words": ("monuseg", text(f"Annotations/{X}.xml", OUTLINES.format('<Vertex X="a" Y="1"/>')), r"\.xml"),
    "outlines without Y": ("monuseg", text(f"Annotations/{X}.xml", OUTLINES.format('<Vertex X="1"/>')), rf"{X}\.xml"),
    "outlines to infinity": (
        "monuseg",
        text(f"Annotations/{X}.xml", OUTLINES.format('<Vertex X="inf" Y="1"/>')),
        "xml",
    ),
    "outlines that explode": ("monuseg", text(f"Annotations/{X}.xml", LAUGHS), rf"{X}\.xml: cannot be read"),
    "labels too few": ("contest", text("test/image_00_mask.txt", "12 9\n1 2 3"), r"image_00_mask\.txt: does not hold"),
    "labels of words": ("contest", text("test/image_00_mask.txt", "12 9\nnucleus"), r"image_00_mask\.txt: cannot be"),
    "labels too large": ("contest", text("test/image_00_mask.txt", f"1 1\n{10**30}"), r"image_00_mask\.txt: cannot be"),
    "labels below zero": (
        "contest",
        text("test/image_00_mask.txt", "12 9\n" + "-1 " * 108),
        r"mask\.txt: has labels out",
    ),
    "labels of another size": ("contest", text("test/image_00_mask.txt", "9 12\n" + "1 " * 108), r"mask\.txt: .*size"),
    "labels of no image": ("contest", gone("train/image_00_mask.txt"), "dataset cpm17"),
    "mask gone": ("tnbc", gone(f"{TNBC}/GT_01/01_1.png"), r"01_1\.png: has no annotation"),
    "masks gone": ("tnbc", gone(f"{TNBC}/GT_01"), r"01_1\.png: has no annotation"),
    "mask smoothed": ("tnbc", array(f"{TNBC}/GT_01/01_1.png", grey((9, 12))), r"GT_01/01_1\.png: has several values"),
    "test slide gone": ("tnbc", gone(f"{TNBC}/Slide_02"), "tnbc has no test images"),
    "no folder of images": ("folder", gone("images"), "images: no such folder"),
    "no folder of masks": ("folder", gone("masks"), "masks: no such folder"),
    "image without a mask": ("folder", gone("masks/s1.png"), r"images/s1\.png: has no mask"),
    "mask without an image": ("folder", gone("images/s1.png"), r"masks/s1\.png: has no image"),
    "mask of another size": ("folder", array("masks/s1.png", grey((5, 5))), r"masks/s1\.png: .*size"),
    "mask on its side": ("folder", array("masks/s1.png", grey((12, 9))), r"s1\.png: .*size(?=.*remedy: +turn one of)"),
    "masks empty": ("folder", masks_of([0]), "masks of dataset mylab are empty"),
    "masks without background": ("folder", masks_of([1, 2]), "masks of dataset mylab have no background"),
    "mask damaged": ("folder", cut("masks/s1.png"), r"masks/s1\.png: cannot be read"),
    "two images of one name": ("folder", array("images/s1.tif", grey((9, 12, 3))), "same id.*s1"),
    "two masks of one name": ("folder", array("masks/s1.tif", grey((9, 12))), r"masks/s1\.\w+: is a second mask"),
    "table gone": ("table", gone("table.csv"), r"table\.csv: cannot be read"),
    "table empty": ("table", text("table.csv", ""), r"table\.csv: has other columns"),
    "table of other columns": (
        "table",
        text("table.csv", "picture\ns0.png\n"),
        r"table\.csv: has other columns.*picture",
    ),
    "table without rows": ("table", text("table.csv", "image\n"), r"table\.csv: holds no images"),
    "table not in UTF-8": (
        "table",
        text("table.csv", "image\nträger.png\n".encode("latin-1")),
        r"table\.csv: cannot be",
    ),
    "table names no file": ("table", text("table.csv", "image\ns9.png\n"), r"table\.csv, line 2: .*s9\.png"),
    "table names no mask": (
        "table",
        text("table.csv", "image,mask\ns0.png,s9.png\n"),
        r"table\.csv, line 2: .*s9\.png",
    ),
    "table of another split": (
        "table",
        text("table.csv", "image,split\ns0.png,valid\n"),
        "line 2: unknown split.*valid",
    ),
    "split for some": (
        "table",
        text("table.csv", "image,split\ns0.png,train\ns1.png,\n"),
        r"some images only.*s1\.png",
    ),
    "image listed twice": ("table", text("table.csv", "image\ns0.png\ns1.png\ns0.png\n"), "an image twice.*s0"),
    "split all train": ("table", text("table.csv", "image,split\ns0.png,train\n"), "has no test images"),
    "one image alone": ("table", text("table.csv", "image\ns0.png\n"), "too few"),
    "binary masks of many values": ("binary", masks_of([0, 1, 2]), r"masks/s\d\.png: has several values"),
    "value of no class": ("classes", masks_of([0, 1, 9]), r"masks/s\d\.png: has values that are no class.*9"),
    "no names of classes": ("classes", gone("classes.json"), r"classes\.json: names of the classes are needed"),
    "bad names of classes": ("classes", text("classes.json", "[]"), r"classes\.json: cannot be read as classes"),
    "classes without values": (
        "classes",
        values_untitled,
        r"classes\.csv: cannot be read as classes: .*class, grey.*columns class and value",
    ),
    "value 0 for a class": ("classes", text("classes.json", '{"a": 0}'), "classes need names"),
}


def _own(pictures, root: Path, kind: str) -> None:
    for k in range(4):
        pictures.pair(root / "images" / f"s{k}.png", root / "masks" / f"s{k}.png", (0, 1))
    if kind == "table":
        (root / "table.csv").write_text("image\n" + "".join(f"s{k}.png\n" for k in range(4)))
    if kind == "classes":
        (root / "classes.json").write_text('{"gland": 1, "nerve": 2}')


def _contest(pictures, root: Path) -> None:
    for split in ("train", "test"):
        pixels, labels = pictures.draw()
        pictures.write(root / split / "image_00.png", pixels)
        values = "\n".join(map(str, labels.ravel()))
        (root / split / "image_00_mask.txt").write_text(f"12 9\n{values}\n")


def _monuseg(pictures, root: Path) -> None:
    square = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((1, 1), (6, 1), (6, 6), (1, 6)))
    (root / "Annotations").mkdir(parents=True)
    for code in ("18-5592", "21-5784"):
        pictures.write(root / "Tissue Images" / f"TCGA-{code}-01Z.tif", pictures.draw()[0])
        (root / "Annotations" / f"TCGA-{code}-01Z.xml").write_text(OUTLINES.format(square))


def _fill(pictures, root: Path, kind: str) -> None:
    root.mkdir()
    if kind in ("glas", "crag", "kumar", "cpm17", "tnbc"):
        pictures.tree(root, kind)
    elif kind == "contest":
        _contest(pictures, root)
    elif kind == "monuseg":
        _monuseg(pictures, root)
    else:
        _own(pictures, root, kind)


def _prepare(kind: str, root: Path, data: Path) -> str:
    official = {"contest": "cpm17", "monuseg": "kumar"}.get(kind, kind)
    if kind in ("folder", "table", "binary", "classes"):
        table = root / "table.csv" if kind == "table" else None
        masks = kind if kind in ("binary", "classes") else "auto"
        prepare_folder("mylab", root, data, task="glands", table=table, masks=masks)
        return "mylab"
    prepare(official, data, manual_dir=root, allow_incomplete=True)
    return official


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_nothing_is_left(tmp_path: Path, pictures, case: str) -> None:
    kind, damage, named = BAD[case]
    root, data = tmp_path / "root", tmp_path / "data"
    _fill(pictures, root, kind)
    damage(root)
    with pytest.raises(InputError, match=rf"(?s){named}.*remedy: +\w"):
        _prepare(kind, root, data)
    assert not any(is_prepared(name, data) for name in ("glas", "crag", "kumar", "cpm17", "tnbc", "mylab"))
    assert [path for path in data.rglob("*") if path.suffix != ".lock"] == [], "no empty folder either"


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in BAD.values()}))
def test_the_same_trees_undamaged_are_prepared(tmp_path: Path, pictures, kind: str) -> None:
    """So that the refusals above are of the damage and of nothing else."""
    _fill(pictures, tmp_path / "root", kind)
    assert is_prepared(_prepare(kind, tmp_path / "root", tmp_path / "data"), tmp_path / "data")


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "mine" / folder).mkdir(parents=True)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read whatever its mode is
    with pytest.raises(InputError, match=r"mine/images: cannot be read: Permission denied(.|\n)*remedy"):
        prepare_folder("mylab", tmp_path / "mine", tmp_path / "data", task="glands")
    with pytest.raises(InputError, match="mine: cannot be read"):
        prepare("glas", tmp_path / "data", manual_dir=tmp_path / "mine")
