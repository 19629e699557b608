"""The contact sheet."""

from pathlib import Path

import numpy as np
import pytest

from jaxseg.datasets import prepare, prepare_folder
from jaxseg.datasets.card import Row
from jaxseg.datasets.image_files import read_pixels
from jaxseg.datasets.preview import preview, title


def test_contact_sheet_shows_outlines(tmp_path: Path) -> None:
    prepare("synthetic_glands_a", tmp_path)
    path = preview("synthetic_glands_a", tmp_path, count=3)
    assert path == tmp_path / "synthetic_glands_a" / "preview.png"
    assert _green(path)


@pytest.mark.parametrize(("corner", "shown"), [(400, True), (20, False)])
def test_of_a_large_image_the_middle_is_shown(tmp_path: Path, pictures, corner: int, shown: bool) -> None:
    mask = np.zeros((900, 900), np.uint8)
    mask[corner : corner + 100, corner : corner + 100] = 1
    for k in range(2):
        pictures.write(tmp_path / "images" / f"s{k}.png", np.full((900, 900, 3), 200 + k, np.uint8))
        pictures.write(tmp_path / "masks" / f"s{k}.png", mask)
    prepare_folder("mylab", tmp_path, tmp_path / "data", task="glands")
    assert _green(preview("mylab", tmp_path / "data")) == shown


def _green(path: Path) -> bool:
    red, green, blue = np.moveaxis(read_pixels(path).astype(int), -1, 0)
    return bool((green - np.maximum(red, blue) > 100).sum() > 500)  # stained tissue is never green


def test_of_a_large_image_it_is_said_that_a_part_is_shown() -> None:
    whole = Row("a", "train", "train", "p", 300, 400, 1, 0.25, "", "")
    assert title(whole) == "a (train)\n1 object, 25% foreground"
    large = Row("b", "test", "testA", "p", 300, 500, 7, 0.5, "", "")
    assert title(large) == "b (test)\n7 objects, 50% foreground in all\nthe middle of 300 x 500 pixels"
