"""GlaS in its official flat folder."""

from pathlib import Path

import pytest

from jaxseg.datasets import glas
from jaxseg.errors import InputError

RELEASE = "Warwick QU Dataset (Released 2016_07_08)"


@pytest.mark.parametrize("folder", [RELEASE, "Warwick_QU_Dataset", "."])
def test_annotations_are_not_taken_for_images(tmp_path: Path, pictures, same, folder: str) -> None:
    stems = ["train_1", "train_2", "train_10", "testA_1", "testB_1"]
    root = tmp_path / folder
    expected = {stem: pictures.pair(root / f"{stem}.bmp", root / f"{stem}_anno.bmp") for stem in stems}
    found = glas.examples(tmp_path)
    same(found, expected)
    assert [example.subset for example in found] == ["train"] * 3 + ["testA", "testB"]
    assert [example.split for example in found] == ["train"] * 3 + ["test"] * 2
    assert [example.patient for example in found] == stems


def test_patients_come_from_the_table_of_grades(tmp_path: Path, pictures) -> None:
    for stem in ("train_1", "train_2", "testA_1"):
        pictures.pair(tmp_path / f"{stem}.bmp", tmp_path / f"{stem}_anno.bmp")
    table = "name, patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)\ntrain_1, 7, benign, adenomatous\n"
    (tmp_path / "Grade.csv").write_text(
        table + "testA_1, 12, malignant, x\ntrain_2, , benign, x\n", encoding="utf-8-sig"
    )
    patients = {example.id: example.patient for example in glas.examples(tmp_path)}
    assert patients == {"train_1": "7", "train_2": "train_2", "testA_1": "12"}


def test_unreadable_table_is_refused(tmp_path: Path, pictures) -> None:
    pictures.pair(tmp_path / "train_1.bmp", tmp_path / "train_1_anno.bmp")
    (tmp_path / "Grade.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"Grade\.csv.*table of patients"):
        glas.examples(tmp_path)


def test_missing_annotation_is_named(tmp_path: Path, pictures) -> None:
    pictures.pair(tmp_path / "train_1.bmp", tmp_path / "train_1_anno.bmp")
    (tmp_path / "train_1_anno.bmp").unlink()
    with pytest.raises(InputError, match=r"(?s)train_1\.bmp: has no annotation.*train_1_anno\.bmp"):
        glas.examples(tmp_path)


def test_litter_of_archives_is_passed_over(tmp_path: Path, pictures, same) -> None:
    expected = {"train_1": pictures.pair(tmp_path / RELEASE / "train_1.bmp", tmp_path / RELEASE / "train_1_anno.bmp")}
    for litter in (tmp_path / "__MACOSX" / RELEASE / "train_1.bmp", tmp_path / RELEASE / "._train_1.bmp"):
        litter.parent.mkdir(parents=True, exist_ok=True)
        litter.write_bytes(b"\0\5\26\7")
    same(glas.examples(tmp_path), expected)


def test_two_copies_are_ambiguous(tmp_path: Path, pictures) -> None:
    for copy in ("one", "two"):
        pictures.pair(tmp_path / copy / "train_1.bmp", tmp_path / copy / "train_1_anno.bmp")
    with pytest.raises(InputError, match="more than once"):
        glas.examples(tmp_path)


def test_empty_folder_explains_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)an empty folder.*train_N\.bmp.*warwick\.ac\.uk"):
        glas.examples(tmp_path)


def test_annotation_of_another_size_is_named(tmp_path: Path, pictures) -> None:
    pictures.write(tmp_path / "train_1.bmp", pictures.draw(9, 12)[0])
    pictures.write(tmp_path / "train_1_anno.bmp", pictures.draw(9, 13)[1].astype("uint8"))
    message = r"(?s)train_1_anno\.bmp.*height 9, width 13.*height 9, width 12.*train_1\.bmp"
    with pytest.raises(InputError, match=message):
        glas.examples(tmp_path)[0].read()
