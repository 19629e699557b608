"""Fabricated pictures, and what readers of official trees are held to."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import io, ndimage

from jaxseg.datasets.example import Example, InstanceMap, Pixels
from jaxseg.datasets.kumar import IDS

Pictured = tuple[Pixels, InstanceMap]


class Pictures:
    """Random pictures with their label maps, written the way archives hold them."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def draw(self, height: int = 9, width: int = 12, labels: Sequence[int] = (0, 1, 2, 3)) -> Pictured:
        pixels = self._rng.integers(0, 256, (height, width, 3), np.uint8)
        return pixels, self._rng.choice(np.array(labels, np.int32), (height, width))

    def write(self, file: Path, array: np.ndarray, **options: object) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(file, **options)
        return file

    def pair(self, image: Path, annotation: Path, labels: Sequence[int] = (0, 1, 2, 3)) -> Pictured:
        """Write a picture and its labels: .mat by its key, anything else as an 8-bit image."""
        pixels, instances = self.draw(labels=labels)
        self.write(image, pixels)
        annotation.parent.mkdir(parents=True, exist_ok=True)
        if annotation.suffix == ".mat":
            io.savemat(annotation, {"inst_map": instances.astype(np.float64)})
        else:
            self.write(annotation, instances.astype(np.uint8))
        return pixels, instances

    def tree(self, root: Path, name: str) -> dict[str, Pictured]:
        """A few images in a dataset's official layout; returns them by their ids."""
        drawn = {key: self.pair(image, annotation, LABELS[name]) for key, image, annotation in _tree(root, name)}
        if name == "tnbc":  # whose masks tell foreground alone
            return {key: (pixels, ndimage.label(mask)[0].astype(np.int32)) for key, (pixels, mask) in drawn.items()}
        return drawn


LABELS = {"glas": (0, 1, 2), "crag": (0, 1, 2), "kumar": (0, 1, 300), "cpm17": (0, 1, 300), "tnbc": (0, 255)}


def _tree(root: Path, name: str) -> list[tuple[str, Path, Path]]:
    """(id, image, annotation)."""
    if name == "glas":
        folder = root / "Warwick QU Dataset (Released 2016_07_08)"
        return [(s, folder / f"{s}.bmp", folder / f"{s}_anno.bmp") for s in ("train_1", "train_2", "testA_1")]
    if name == "crag":
        parts = {"train_1": root / "CRAG" / "train", "test_1": root / "CRAG" / "valid"}
        return [(s, part / "Images" / f"{s}.png", part / "Annotation" / f"{s}.png") for s, part in parts.items()]
    if name == "kumar":
        stems = {f"TCGA-{codes.split()[0]}-01Z": root / "kumar" / subset for subset, codes in IDS.items()}
        return [(s, part / "Images" / f"{s}.tif", part / "Labels" / f"{s}.mat") for s, part in stems.items()]
    if name == "cpm17":
        parts = {f"{split}_image_00": root / "cpm17" / split for split in ("train", "test")}
        return [(s, part / "Images" / "image_00.png", part / "Labels" / "image_00.mat") for s, part in parts.items()]
    folder = root / "TNBC_NucleiSegmentation"
    return [(t, folder / f"Slide_{t[:2]}" / f"{t}.png", folder / f"GT_{t[:2]}" / f"{t}.png") for t in ("01_1", "02_1")]


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


@pytest.fixture
def same() -> Callable[[list[Example], dict[str, Pictured]], None]:
    """Assert that examples read exactly what was written, under the expected ids in the expected order."""

    def compare(examples: list[Example], expected: dict[str, Pictured]) -> None:
        assert [example.id for example in examples] == list(expected)
        for example in examples:
            pixels, instances = example.read()
            np.testing.assert_array_equal(pixels, expected[example.id][0], strict=True)
            np.testing.assert_array_equal(instances, expected[example.id][1], strict=True)

    return compare
