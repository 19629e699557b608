"""The contact sheet."""

from pathlib import Path

import numpy as np

from jaxseg.datasets import prepare
from jaxseg.datasets.image_files import read_pixels
from jaxseg.datasets.preview import preview


def test_contact_sheet_shows_outlines(tmp_path: Path) -> None:
    prepare("synthetic_glands_a", tmp_path)
    path = preview("synthetic_glands_a", tmp_path, count=3)
    assert path == tmp_path / "synthetic_glands_a" / "preview.png"
    red, green, blue = np.moveaxis(read_pixels(path).astype(int), -1, 0)
    assert (green - np.maximum(red, blue) > 100).sum() > 500  # stained tissue is never green
