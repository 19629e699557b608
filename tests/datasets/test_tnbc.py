"""TNBC: RGBA tiles, masks without objects, litter beside."""

from pathlib import Path

import numpy as np
import pytest

from jaxseg.datasets import tnbc
from jaxseg.errors import InputError


def _tile(pictures, root: Path, stem: str) -> np.ndarray:
    """Writes a tile whose alpha channel would change the colours if it were blended; returns its RGB pixels."""
    rgba = np.dstack([pictures.draw(8, 8)[0], np.full((8, 8), 40, np.uint8)])
    patient = stem.split("_")[0]
    pictures.write(root / f"Slide_{patient}" / f"{stem}.png", rgba)
    mask = np.zeros((8, 8), np.uint8)
    mask[1:3, 1:3] = mask[3, 3] = mask[5:8, 5] = 255  # (3, 3) touches the square at a corner only
    pictures.write(root / f"GT_{patient}" / f"{stem}.png", mask)
    return rgba[..., :3]


def test_regions_become_objects_and_alpha_is_dropped(tmp_path: Path, pictures, same) -> None:
    root = tmp_path / "TNBC_NucleiSegmentation"
    instances = np.zeros((8, 8), np.int32)
    instances[1:3, 1:3], instances[3, 3], instances[5:8, 5] = 1, 2, 3
    expected = {stem: (_tile(pictures, root, stem), instances) for stem in ("01_1", "01_2", "03_1", "02_1", "11_1")}
    (tmp_path / "__MACOSX" / "Slide_01").mkdir(parents=True)
    found = tnbc.examples(tmp_path)
    same(found, expected)
    assert [(example.patient, example.split) for example in found] == [
        ("01", "train"),
        ("01", "train"),
        ("03", "train"),
        ("02", "test"),
        ("11", "test"),
    ]


def test_brains_of_the_later_release_are_left_out(tmp_path: Path, pictures) -> None:
    for stem in ("01_1", "10_1", "12_1", "14_2"):
        _tile(pictures, tmp_path / "TNBC_and_Brain_dataset", stem)
    assert [example.id for example in tnbc.examples(tmp_path)] == ["01_1", "10_1"]


def test_numbers_without_leading_zero_are_the_same_patients(tmp_path: Path, pictures) -> None:
    for stem in ("1_1", "2_1"):
        _tile(pictures, tmp_path, stem)
    found = tnbc.examples(tmp_path)
    assert [(example.id, example.patient, example.split) for example in found] == [
        ("1_1", "01", "train"),
        ("2_1", "02", "test"),
    ]
    assert all(example.read()[1].any() for example in found)


def test_other_test_patients_can_be_chosen(tmp_path: Path, pictures) -> None:
    for stem in ("01_1", "02_1"):
        _tile(pictures, tmp_path, stem)
    assert {example.id: example.split for example in tnbc.examples(tmp_path, {"01"})} == {
        "01_1": "test",
        "02_1": "train",
    }


def test_missing_mask_is_named(tmp_path: Path, pictures) -> None:
    _tile(pictures, tmp_path, "04_2")
    (tmp_path / "GT_04" / "04_2.png").unlink()
    with pytest.raises(InputError, match=r"(?s)04_2\.png: has no annotation.*GT_04"):
        tnbc.examples(tmp_path)
