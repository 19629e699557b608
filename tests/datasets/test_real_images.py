"""The official images, laid out as they are distributed: counts, and equality pixel for pixel.

They are not part of the project; the tests are skipped where ../shared/data is absent.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jaxseg.datasets import instances, load, prepare, read_card

SOURCE = Path(__file__).resolve().parents[2] / "../shared/data"
pytestmark = pytest.mark.skipif(not (SOURCE / "lay_out.py").is_file(), reason="no real images in ../shared/data")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(manual directory, data directory)."""
    root = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, SOURCE / "lay_out.py", root / "manual"], check=True)
    return root / "manual", root / "data"


def _source(name: str, image: str, suffixes: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    files = [SOURCE / name / f"{image}{suffix}" for suffix in suffixes]
    with Image.open(files[0]) as pixels, Image.open(files[1]) as labels:
        return np.array(pixels.convert("RGB")), np.array(labels)


def _check_pixels(name: str, data: Path, suffixes: tuple[str, str], number: bool) -> None:
    dataset, maps = load(name, data), instances(name, data)
    for images in (dataset.train, dataset.test):
        for k, (height, width) in enumerate(images.sizes):
            pixels, labels = _source(name, images.ids[k], suffixes)
            np.testing.assert_array_equal(images.pixels[k, :height, :width], pixels, strict=True)
            np.testing.assert_array_equal(images.masks[k, :height, :width], labels > 0)
            expected = ndimage.label(labels > 0)[0] if number else labels
            np.testing.assert_array_equal(maps[images.ids[k]], expected)


def _subsets(name: str, data: Path) -> dict[str, int]:
    return dict(Counter(row.subset for row in read_card(name, data).images))


def test_glas(places: tuple[Path, Path]) -> None:
    manual, data = places
    start = time.process_time()  # of all threads; the clock on the wall depends on who else is busy
    prepare("glas", data, manual_dir=manual)
    assert time.process_time() - start < 60
    assert _subsets("glas", data) == {"train": 85, "testA": 60, "testB": 20}
    _check_pixels("glas", data, (".webp", "_mask.png"), number=True)


def test_kumar(places: tuple[Path, Path]) -> None:
    manual, data = places
    prepare("kumar", data, manual_dir=manual)
    assert _subsets("kumar", data) == {"train": 16, "test_same": 8, "test_diff": 6}
    images = read_card("kumar", data).images
    assert sum(row.objects for row in images) == 16958
    official = json.loads((SOURCE / "kumar" / "split.json").read_text())
    assert {row.id: row.subset for row in images} == {i: subset for subset, ids in official.items() for i in ids}
    _check_pixels("kumar", data, (".webp", "_instances.png"), number=False)


def test_tnbc(places: tuple[Path, Path]) -> None:
    manual, data = places
    prepare("tnbc", data, manual_dir=manual)
    images = read_card("tnbc", data).images
    tiles = Counter(row.patient for row in images)
    assert [tiles[f"{patient:02}"] for patient in range(1, 12)] == [7, 3, 5, 8, 4, 3, 3, 4, 6, 4, 3]
    assert {row.patient for row in images if row.split == "test"} == {"02", "09", "10", "11"}
    assert _subsets("tnbc", data) == {"train": 34, "test": 16}
    _check_pixels("tnbc", data, (".jpg", "_instances.png"), number=True)
