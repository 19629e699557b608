"""Images that stand in two datasets, or on both sides of one, are named."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxseg.datasets import (
    damaged,
    prepare_folder,
    prepared_folder,
    read_card,
    shared_with_others,
    synthetic,
)
from jaxseg.datasets.card import fingerprint
from jaxseg.datasets.overlap import prepared_names


def _fill(source: Path, name: str, count: int, *, extra: dict[str, np.ndarray] | None = None) -> None:
    """Drawn tissue as a lab's own folder; `extra` images get an empty mask."""
    drawn = {f"{name}{k}": synthetic.examples(f"synthetic_{name}_a")[k].read() for k in range(count)}
    drawn |= {stem: (pixels, np.zeros(pixels.shape[:2], np.int32)) for stem, pixels in (extra or {}).items()}
    for folder in ("images", "masks"):
        (source / folder).mkdir(parents=True)
    for stem, (pixels, labels) in drawn.items():
        Image.fromarray(pixels).save(source / "images" / f"{stem}.png")
        Image.fromarray(labels.astype(np.uint16)).save(source / "masks" / f"{stem}.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Datasets one (glands) and two (nuclei, and a mirrored gland of one's)."""
    gland = synthetic.examples("synthetic_glands_a")[1].read()[0]
    _fill(tmp_path / "one", "glands", 4)
    _fill(tmp_path / "two", "nuclei", 3, extra={"found": gland[:, ::-1].copy()})
    for name in ("one", "two"):
        prepare_folder(name, tmp_path / name, tmp_path / "data", task="glands")
    return tmp_path / "data"


def test_a_mirrored_copy_in_another_dataset_is_named(data: Path) -> None:
    (line,) = shared_with_others("two", data)
    assert "1 image is the same or nearly so in two and one: found (" in line
    assert "= glands1 (" in line
    assert prepared_names(data) == ["one", "two"]


def test_a_dataset_that_lost_a_file_is_passed_over(data: Path) -> None:
    next(prepared_folder("one", data).glob("*train*")).unlink()
    assert prepared_names(data) == ["two"]
    assert shared_with_others("two", data) == []


def test_a_near_copy_on_the_other_side_is_named(tmp_path: Path) -> None:
    gland = synthetic.examples("synthetic_glands_a")[1].read()[0]
    _fill(tmp_path / "mine", "glands", 4, extra={"again": np.rot90(gland).copy()})
    table = tmp_path / "t.csv"
    rows = [f"glands{k}.png,train" for k in range(4)] + ["again.png,test"]
    table.write_text("\n".join(["image,split", *rows]) + "\n")
    prepare_folder("mine", tmp_path / "mine", tmp_path / "data", task="glands", table=table)
    warnings = read_card("mine", tmp_path / "data").warnings
    assert "1 test image is nearly equal to training images: again ~ glands1" in warnings
    assert "no foreground in 1 of 5 images: again" in warnings


def test_whole_data_has_no_damaged_images_and_a_changed_byte_names_one(data: Path) -> None:
    assert damaged("one", data) == []
    file = next(prepared_folder("one", data).glob("*train*"))
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 200] ^= 1
    file.write_bytes(content)
    (image,) = damaged("one", data)
    assert image.startswith("glands")


@pytest.mark.parametrize("digest", ["pixels_sha256", "instances_sha256"])
def test_an_image_whose_card_is_of_other_content_is_damaged(data: Path, digest: str) -> None:
    card = read_card("one", data)
    first, *others = card.images
    rows = (dataclasses.replace(first, **{digest: "0" * 64}), *others)
    changed = dataclasses.replace(card, images=rows, fingerprint=fingerprint(card.task, rows, card.classes))
    changed.write(prepared_folder("one", data))
    assert damaged("one", data) == [first.id]
