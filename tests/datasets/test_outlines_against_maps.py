"""The MoNuSeg form of an image gives the mask of its instance map but for the outlines (issue: IoU of .97 at least)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import find_contours

from jaxseg.datasets import kumar, synthetic

REAL = Path(__file__).resolve().parents[2] / "../shared/data/kumar"
CODES = ("18-5592", "21-5784", "AY-A8YK", "KB-A93J")


def _outlines(instances: np.ndarray) -> str:
    """An Aperio file whose vertices lie half way between each object and what is around it, to a thousandth of a pixel.

    Contours come in coordinates of pixel centres; the viewer counts from the image's corner, half a pixel off.
    """
    regions = []
    for number, place in enumerate(ndimage.find_objects(instances), start=1):
        if place is None:
            continue
        own = np.pad(instances[place] == number, 1)
        outline = max(find_contours(own.astype(float), 0.5), key=len)
        corner = np.array([part.start for part in place]) - 0.5
        vertices = "".join(f'<Vertex X="{x:.3f}" Y="{y:.3f}" Z="0"/>' for y, x in outline + corner)
        regions.append(f'<Region Id="{number}"><Vertices>{vertices}</Vertices></Region>')
    return f"<Annotations><Annotation><Regions>{''.join(regions)}</Regions></Annotation></Annotations>"


def _read(root: Path, pixels: np.ndarray, instances: np.ndarray, code: str) -> np.ndarray:
    """The instance map that the reader of MoNuSeg's tree makes of the outlines."""
    stem = f"TCGA-{code}-01Z-00-DX1"
    for folder in ("Tissue Images", "Annotations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / "Tissue Images" / f"{stem}.tif", compression="tiff_lzw")
    (root / "Annotations" / f"{stem}.xml").write_text(_outlines(instances))
    (example,) = kumar.examples(root)
    return example.read()[1]


def _check(found: np.ndarray, instances: np.ndarray) -> None:
    overlap = ((found > 0) & (instances > 0)).sum() / ((found > 0) | (instances > 0)).sum()
    assert overlap >= 0.97
    objects = np.unique(instances[instances > 0])
    assert abs(len(np.unique(found[found > 0])) - len(objects)) <= 0.01 * len(objects)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images in ../shared/data")
@pytest.mark.parametrize("code", CODES)
def test_real_nuclei(tmp_path: Path, code: str) -> None:
    file = next(REAL.glob(f"TCGA-{code}-*_instances.png"))
    with Image.open(file) as labels, Image.open(file.with_name(file.name.replace("_instances.png", ".webp"))) as image:
        pixels, instances = np.array(image.convert("RGB")), np.array(labels).astype(np.int32)
    _check(_read(tmp_path, pixels, instances, code), instances)


def test_drawn_nuclei(tmp_path: Path) -> None:
    pixels, instances = synthetic.draw("nuclei", "b", "train_0", 0)
    _check(_read(tmp_path, pixels, instances, CODES[0]), instances)


def test_a_shift_by_a_pixel_would_be_noticed(tmp_path: Path) -> None:
    """The bound is strict enough to notice another convention of coordinates on small objects."""
    pixels, instances = synthetic.draw("nuclei", "a", "train_0", 0)
    found = _read(tmp_path, pixels, instances, CODES[0])
    moved = np.roll(found, 1, axis=(0, 1))  # what a convention off by a pixel would give
    with pytest.raises(AssertionError):
        _check(moved, instances)
