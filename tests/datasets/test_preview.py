"""The contact sheet."""

from pathlib import Path

import numpy as np

from jaxseg.datasets import prepare
from jaxseg.datasets.card import Row
from jaxseg.datasets.image_files import read_pixels
from jaxseg.datasets.preview import preview, title


def test_contact_sheet_shows_outlines(tmp_path: Path) -> None:
    prepare("synthetic_glands_a", tmp_path)
    path = preview("synthetic_glands_a", tmp_path, count=3)
    assert path == tmp_path / "synthetic_glands_a" / "preview.png"
    red, green, blue = np.moveaxis(read_pixels(path).astype(int), -1, 0)
    assert (green - np.maximum(red, blue) > 100).sum() > 500  # stained tissue is never green


def test_of_a_large_image_it_is_said_that_a_part_is_shown() -> None:
    whole = Row("a", "train", "train", "p", 300, 400, 1, 0.25, "", "")
    assert title(whole) == "a (train)\n1 object, 25% foreground"
    large = Row("b", "test", "testA", "p", 300, 500, 7, 0.5, "", "")
    assert title(large) == "b (test)\n7 objects, 50% foreground in all\nthe middle of 300 x 500 pixels"
