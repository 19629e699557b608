"""A folder of small coloured images of several sizes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

SHAPES = ((40, 50), (64, 40), (48, 48))


def write_image(file: Path, number: int, shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(number)
    noise = ndimage.gaussian_filter(draw.standard_normal((*shape, 3)), (1 + number % 4, 1 + number % 4, 0))
    tint = draw.uniform(90, 210, 3)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(tint + 40 * noise / noise.std(), 0, 255).astype(np.uint8)).save(file)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images, two of them in a subfolder, and a file that is none."""
    folder = tmp_path_factory.mktemp("tiles")
    for number in range(10):
        place = folder / "slide" if number > 7 else folder
        write_image(place / f"tile_{number}.png", number, SHAPES[number % 3])
    (folder / "notes.txt").write_text("not an image")
    return folder
