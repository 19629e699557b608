"""A lab's own folder of images and masks."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from jaxseg.datasets.folder import folder_examples
from jaxseg.datasets.tree import images
from jaxseg.errors import InputError


def _fill(pictures, source: Path, count: int = 10, labels: tuple[int, ...] = (0, 1, 2)) -> dict:
    return {
        f"s{k}": pictures.pair(source / "images" / f"s{k}.tif", source / "masks" / f"s{k}.png", labels)
        for k in range(count)
    }


def test_pairs_by_stem_and_a_fifth_for_testing(tmp_path: Path, pictures) -> None:
    written = _fill(pictures, tmp_path)
    found = folder_examples("mylab", tmp_path, None, "auto")
    assert sorted(example.id for example in found) == sorted(written)
    assert [example.split for example in found] == ["train"] * 8 + ["test"] * 2
    for example in found:
        pixels, instances = example.read()
        np.testing.assert_array_equal(pixels, written[example.id][0], strict=True)
        np.testing.assert_array_equal(instances, written[example.id][1], strict=True)


def test_drawn_split_is_stable_and_depends_on_the_name(tmp_path: Path, pictures) -> None:
    _fill(pictures, tmp_path, 30)
    tests = [
        tuple(e.id for e in folder_examples(name, tmp_path, None, "instances") if e.split == "test")
        for name in ("mylab", "mylab", "other")
    ]
    assert tests[0] == tests[1] != tests[2]


def _square_mask(pictures, source: Path, value: int) -> None:
    mask = np.zeros((9, 12), np.uint8)
    mask[1:3, 1:3] = mask[5:8, 6:9] = value
    pictures.write(source / "masks" / "s0.png", mask)


@pytest.mark.parametrize(("masks", "objects"), [("auto", 2), ("binary", 2), ("instances", 1)])
def test_binary_masks_become_connected_regions(tmp_path: Path, pictures, masks, objects: int) -> None:
    _fill(pictures, tmp_path, 3, labels=(0, 255))
    _square_mask(pictures, tmp_path, 255)
    example = next(e for e in folder_examples("x", tmp_path, None, masks) if e.id == "s0")
    assert np.count_nonzero(np.unique(example.read()[1])) == objects


def test_one_mask_with_two_values_makes_all_of_them_instance_maps(tmp_path: Path, pictures) -> None:
    _fill(pictures, tmp_path, 3, labels=(0, 1, 2))
    _square_mask(pictures, tmp_path, 7)  # an object in two pieces
    example = next(e for e in folder_examples("x", tmp_path, None, "auto") if e.id == "s0")
    assert np.unique(example.read()[1]).tolist() == [0, 7]


def test_a_table_of_a_spreadsheet_names_files_in_images_first(tmp_path: Path, pictures) -> None:
    """With the mark that spreadsheets put before UTF-8; an overview of the same name may lie beside the folder."""
    written = _fill(pictures, tmp_path, 2)
    pictures.write(tmp_path / "s0.tif", np.zeros((9, 12, 3), np.uint8))
    table = tmp_path / "t.csv"
    table.write_text("image,split\ns0.tif,train\ns1.tif,test\n", encoding="utf-8-sig")
    for example in folder_examples("x", tmp_path, table, "auto"):
        np.testing.assert_array_equal(example.read()[0], written[example.id][0])


def _disc(side: int) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side] - side / 2
    return np.where(rows**2 + columns**2 < (side / 3) ** 2, 255, 0).astype(np.uint8)


SMOOTHED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda mask: mask.resize((90, 90), Image.Resampling.BILINEAR),
    "larger": lambda mask: mask.resize((400, 400), Image.Resampling.BILINEAR),
    "averaged": lambda mask: mask.resize((100, 100), Image.Resampling.BOX),
    "cubic": lambda mask: mask.resize((130, 130), Image.Resampling.BICUBIC),
    "blurred": lambda mask: mask.filter(ImageFilter.GaussianBlur(1.5)),
}


@pytest.mark.parametrize("how", SMOOTHED)
def test_a_smoothed_mask_is_no_map_of_objects(tmp_path: Path, pictures, how: str) -> None:
    _fill(pictures, tmp_path, 2, labels=(0, 255))
    mask = np.array(SMOOTHED[how](Image.fromarray(_disc(200))))
    assert len(np.unique(mask)) > 3
    pictures.write(tmp_path / "masks" / "s1.png", mask)
    with pytest.raises(InputError, match=r"(?s)s1\.png: is a mask that was smoothed.*remedy.*--masks binary"):
        folder_examples("x", tmp_path, None, "auto")
    pictures.write(tmp_path / "images" / "s1.tif", np.zeros((*mask.shape, 3), np.uint8))
    example = next(e for e in folder_examples("x", tmp_path, None, "instances") if e.id == "s1")
    np.testing.assert_array_equal(example.read()[1], mask)  # whoever says so has them


def test_a_smoothed_mask_among_maps_of_objects_is_refused_when_it_is_read(tmp_path: Path, pictures) -> None:
    _fill(pictures, tmp_path, 3)
    pictures.write(tmp_path / "images" / "s2.tif", np.zeros((90, 90, 3), np.uint8))
    pictures.write(tmp_path / "masks" / "s2.png", np.array(SMOOTHED["smaller"](Image.fromarray(_disc(200)))))
    example = next(e for e in folder_examples("x", tmp_path, None, "auto") if e.id == "s2")
    with pytest.raises(InputError, match=r"s2\.png: is a mask that was smoothed"):
        example.read()


def test_crowded_objects_of_all_sizes_are_not_taken_for_rims(tmp_path: Path, pictures) -> None:
    rng = np.random.default_rng(1)
    _fill(pictures, tmp_path, 2)
    labels = np.zeros((64, 64), np.uint8)
    rows, columns = np.mgrid[:64, :64]
    for number in range(1, 250):
        y, x, radius = *rng.uniform(0, 64, 2), rng.uniform(1.5, 5)
        labels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = number
    pictures.write(tmp_path / "images" / "s1.tif", np.zeros((64, 64, 3), np.uint8))
    pictures.write(tmp_path / "masks" / "s1.png", labels)
    example = next(e for e in folder_examples("x", tmp_path, None, "auto") if e.id == "s1")
    np.testing.assert_array_equal(example.read()[1], labels)


def test_table_gives_masks_splits_and_patients(tmp_path: Path, pictures) -> None:
    _fill(pictures, tmp_path, 4)
    (tmp_path / "masks" / "s3.png").rename(tmp_path / "masks" / "other.png")
    table = tmp_path / "t.csv"
    table.write_text("image,mask,split,patient\ns3.tif,other.png,train,p1\ns1.tif,,test,p2\nimages/s0.tif,,train,\n")
    found = folder_examples("x", tmp_path, table, "auto")
    assert [(e.id, e.split, e.patient) for e in found] == [
        ("s3", "train", "p1"),
        ("s0", "train", "s0"),
        ("s1", "test", "p2"),
    ]


def test_masks_are_listed_once_for_all_rows(tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifteen hundred rows took a quarter of a minute."""
    _fill(pictures, tmp_path, 3)
    (tmp_path / "t.csv").write_text("image\ns0.tif\ns1.tif\ns2.tif\n")
    listings: list[Path] = []

    def listed(place: Path, suffixes: tuple[str, ...]) -> list[Path]:
        listings.append(place)
        return images(place, suffixes)

    monkeypatch.setattr("jaxseg.datasets.folder.images", listed)
    assert len(folder_examples("x", tmp_path, tmp_path / "t.csv", "binary")) == 3
    assert listings == [tmp_path / "masks"]


def test_empty_rows_and_cells_of_a_table_are_passed_over(tmp_path: Path, pictures) -> None:
    _fill(pictures, tmp_path, 2)
    table = tmp_path / "t.csv"
    table.write_text("image,split\ns0.tif,train\n,\n\ns1.tif,test\n , \n,,,\n")
    assert [e.id for e in folder_examples("x", tmp_path, table, "auto")] == ["s0", "s1"]


COMPOSED, APART = "Pr\u00e4p", "Pra\u0308p"  # as most systems write it, and as Macs do


@pytest.mark.parametrize(("image", "mask"), [(COMPOSED, APART), (APART, COMPOSED)])
@pytest.mark.parametrize("listed", ["", f"image\n{COMPOSED}.png\n", f"image,mask\n{APART}.png,{COMPOSED}.png\n"])
def test_accents_match_however_they_are_encoded(tmp_path: Path, pictures, image: str, mask: str, listed: str) -> None:
    _fill(pictures, tmp_path, 3)
    pixels = pictures.pair(tmp_path / "images" / f"{image}.png", tmp_path / "masks" / f"{mask}.png")[0]
    table = None
    if listed:
        table = tmp_path / "t.csv"
        table.write_text(listed + "".join(f"s{k}.tif{',' if ',' in listed else ''}\n" for k in range(3)))
    found = next(e for e in folder_examples("x", tmp_path, table, "auto") if e.id == COMPOSED)
    np.testing.assert_array_equal(found.read()[0], pixels)
    assert found.patient == COMPOSED


@pytest.mark.parametrize("with_table", [False, True])
def test_folders_may_be_written_in_capitals(tmp_path: Path, pictures, with_table: bool) -> None:
    _fill(pictures, tmp_path, 3)
    (tmp_path / "images").rename(tmp_path / "Images")
    (tmp_path / "masks").rename(tmp_path / "MASKS")
    table = tmp_path / "t.csv"
    table.write_text("image,mask\ns0.tif,\ns1.tif,s1.png\n")
    found = folder_examples("x", tmp_path, table if with_table else None, "auto")
    assert len(found) == 2 if with_table else 3


@pytest.mark.parametrize(
    ("mark", "above"), [(",", ""), (";", ""), ("\t", ""), (", ", ""), (";", "sep=;\n"), ("\t", "SEP=\t\r\n")]
)
def test_drawn_split_keeps_patients_whole(tmp_path: Path, pictures, mark: str, above: str) -> None:
    _fill(pictures, tmp_path, 12)
    table = tmp_path / "t.csv"
    table.write_text(f"{above}image{mark}patient\n" + "".join(f's{k}.tif{mark}"p,; {k // 3}"\n' for k in range(12)))
    found = folder_examples("x", tmp_path, table, "auto")
    assert {example.patient for example in found} == {f"p,; {k}" for k in range(4)}
    train, test = ({e.patient for e in found if e.split == split} for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (3, 1, set())


@pytest.mark.parametrize(
    ("pattern", "patients"),
    [
        (r"^[^_]+", {"P1", "P2"}),
        (r"_(.)\.", {"x", "y"}),
        (r"(?<=_)x|(?<=_)y", {"x", "y"}),
        (r"(P1)|(P2)", {"P1", "P2"}),
    ],
)
def test_names_tell_patients(tmp_path: Path, pictures, pattern: str, patients: set[str]) -> None:
    for name in ("P1_x.1", "P1_y.2", "P2_x.3", "P2_y.4"):
        pictures.pair(tmp_path / "images" / f"{name}.tif", tmp_path / "masks" / f"{name}.png")
    found = folder_examples("x", tmp_path, None, "auto", patients=re.compile(pattern))
    assert {example.patient for example in found} == patients
    train, test = ({e.patient for e in found if e.split == split} for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (1, 1, set())


@pytest.mark.parametrize("pattern", ["^P", "P?"])
def test_a_name_that_tells_no_patient_is_refused(tmp_path: Path, pictures, pattern: str) -> None:
    for name in ("P1", "P2", "x"):
        pictures.pair(tmp_path / "images" / f"{name}.tif", tmp_path / "masks" / f"{name}.png")
    with pytest.raises(InputError, match=r"(?s)x\.tif: its name tells no patient.*/\^?P\??/.*remedy"):
        folder_examples("x", tmp_path, None, "auto", patients=re.compile(pattern))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture\ns0.tif\n", "(?s)other columns.*picture.*remedy: +rename the columns"),
        ("image,colour\ns0.tif,red\n", "(?s)other columns.*remedy: +remove the other columns: colour$"),
        ("image,\ns0.tif,\n", "(?s)other columns.*remedy: +remove the other columns: one without a title$"),
        ("image,,\ns0.tif,,\n", "(?s)other columns.*remedy: +remove the other columns: one without a title"),
        (
            "image;colour\ns0.tif;red\n",
            "(?s)other columns.*image, colour\n.*remedy: +remove the other columns: colour$",
        ),
        ("image;patient\ns0.tif;Doe; Jane\n", r"(?s)t\.csv, line 2: has more cells.*Jane.*quotes"),
        ("image,mask\n,\n\nnone.tif,\n", r"(?s)t\.csv, line 4: names a file.*none\.tif"),
        ("image,mask\n,s0.png\n", r"(?s)t\.csv, line 2: names a file"),
        ("image\nnone.tif\n", r"(?s)t\.csv, line 2: names a file.*none\.tif"),
        ("sep=,\nimage\nnone.tif\n", r"(?s)t\.csv, line 3: names a file.*none\.tif"),
        ("sep=,\n", "other columns"),
        ("image,mask\ns0.tif,none.png\n", r"(?s)t\.csv, line 2: names a file.*none\.png"),
        ("image,split\ns0.tif,validation\n", "(?s)line 2: unknown split.*validation.*train or test"),
        ("image,split\ns0.tif,train\ns1.tif,\n", r"(?s)some images only.*s1\.tif"),
        ("image,split\ns0.tif,train\ns1.tif,\n", r"t\.csv: split is given for some images only"),
        ("image,split\ns0.tif,train\ns1.tif,train\n", r"(?s)t\.csv: has no test images.*2 images.*column split"),
        ("image,split\ns0.tif,test\n", r"(?s)t\.csv: has no train images.*1 image.*column split"),
        ("image,patient,patient\ns0.tif,a,b\n", "(?s)other columns.*remedy: +keep one of the columns patient$"),
        ("image,patient\ns0.tif,Doe, Jane\n", r"(?s)t\.csv, line 2: has more cells.*Jane.*quotes"),
        ("image\ns0.tif\ns1.tif\ns0.tif\n", r"(?s)t\.csv: names an image twice.*s0\.tif.*remedy: +remove all but"),
        ("image\ns0.tif\nmore/s0.tif\n", r"(?s)more/s0\.tif: has the same id.*images/s0\.tif.*remedy: +rename"),
        ("image\ns0.tif\n", r"(?s)^[^ ]*t\.csv: has too few images"),
        ("image\n", "holds no images"),
        ("", "other columns"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, pictures, text: str, message: str) -> None:
    _fill(pictures, tmp_path, 2)
    pictures.write(tmp_path / "images" / "more" / "s0.tif", pictures.draw()[0])
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        folder_examples("x", tmp_path, tmp_path / "t.csv", "auto")


def test_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nix\.csv: cannot be read"):
        folder_examples("x", tmp_path, tmp_path / "nix.csv", "auto")


def test_image_without_mask_is_named(tmp_path: Path, pictures) -> None:
    _fill(pictures, tmp_path, 2)
    (tmp_path / "masks" / "s1.png").unlink()
    with pytest.raises(InputError, match=r"(?s)s1\.tif: has no mask.*masks/s1"):
        folder_examples("x", tmp_path, None, "auto")


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_missing_folder_is_named(tmp_path: Path, missing: str) -> None:
    for folder in {"images", "masks"} - {missing}:
        (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match=f"{missing}: no such folder"):
        folder_examples("x", tmp_path, None, "auto")


def test_a_folder_that_holds_subfolders_alone_is_named(tmp_path: Path, pictures) -> None:
    for folder in ("images/deep", "masks"):
        (tmp_path / folder).mkdir(parents=True)
    pictures.write(tmp_path / "images" / "deep" / "a.png", pictures.draw()[0])
    with pytest.raises(InputError, match=r"(?s)images: holds no images.*1 image in subfolders of images/: deep/a\.png"):
        folder_examples("x", tmp_path, None, "auto")


def test_empty_folder_is_named(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match="images: holds no images"):
        folder_examples("x", tmp_path, None, "auto")
