"""Image files: what is accepted, what is refused and how it is said."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxseg.datasets.image_files import from_png, png, read_labels, read_mask, read_pixels
from jaxseg.errors import InputError


def test_jpeg_named_png_is_read(tmp_path: Path, pictures) -> None:
    file = tmp_path / "x.png"
    Image.fromarray(pictures.draw()[0]).save(file, "JPEG")
    with Image.open(file) as image:
        np.testing.assert_array_equal(read_pixels(file), np.array(image.convert("RGB")))


def test_lossy_labels_are_refused(tmp_path: Path, pictures) -> None:
    file = tmp_path / "x.png"
    Image.fromarray(pictures.draw()[1].astype(np.uint8)).save(file, "JPEG")
    with pytest.raises(InputError, match=r"x\.png"):
        read_labels(file)


def test_formats_outside_the_list_are_refused(tmp_path: Path, pictures) -> None:
    file = tmp_path / "x.png"
    Image.fromarray(pictures.draw()[0]).save(file, "GIF")
    with pytest.raises(InputError, match=r"(?s)x\.png: cannot be read.*PNG, TIFF"):
        read_pixels(file)


def test_grey_image_becomes_rgb(tmp_path: Path, pictures) -> None:
    grey = pictures.draw()[0][..., 0]
    np.testing.assert_array_equal(
        read_pixels(pictures.write(tmp_path / "x.png", grey)), np.repeat(grey[..., None], 3, axis=2)
    )


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_labels_of_sixteen_bits_are_kept(tmp_path: Path, pictures, suffix: str) -> None:
    labels = pictures.draw(labels=(0, 255, 256, 65535))[1]
    file = pictures.write(tmp_path / f"x{suffix}", labels.astype(np.uint16))
    np.testing.assert_array_equal(read_labels(file), labels, strict=True)


def _deep_png(file: Path, values: np.ndarray) -> Path:
    """A PNG of 16 bits a channel, which Pillow cannot write: (H, W) grey, or (H, W, 2 … 4) with grey, RGB and alpha."""
    channels = values.reshape(*values.shape[:2], -1).astype(">u2")
    height, width, count = channels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[count]
    rows = b"".join(b"\0" + row.tobytes() for row in channels)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks.items():
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("read", [read_labels, read_mask, read_pixels])
def test_colours_of_sixteen_bits_are_refused(tmp_path: Path, channels: int, read) -> None:
    values = np.repeat(np.array([[0, 1, 300]], np.uint16)[..., None], channels, axis=2)
    with pytest.raises(InputError, match=r"(?s)x\.png: has 16 bits a channel.*remedy"):
        read(_deep_png(tmp_path / "x.png", values))


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"byteorder": ">"}, {"planarconfig": "separate"}])
def test_colours_of_sixteen_bits_in_tiff_are_refused(tmp_path: Path, options: dict) -> None:
    values = np.full((3, 4, 4) if "planarconfig" in options else (4, 4, 3), 300, np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", **options)
    with pytest.raises(InputError, match=r"x\.tif: has 16 bits a channel"):
        read_labels(tmp_path / "x.tif")


def test_grey_of_sixteen_bits_is_read_from_a_foreign_png(tmp_path: Path) -> None:
    values = np.array([[0, 1, 300], [65535, 256, 255]], np.uint16)
    np.testing.assert_array_equal(read_labels(_deep_png(tmp_path / "x.png", values)), values)


def test_palette_and_bit_masks_give_indices(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    palette = Image.frombytes("P", (2, 2), labels.tobytes())
    palette.putpalette([0, 0, 0, 200, 10, 30])
    palette.save(tmp_path / "p.png")
    Image.fromarray(labels.astype(bool)).save(tmp_path / "b.png")
    for name in ("p.png", "b.png"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), labels)


def test_grey_rgb_masks_are_read_and_coloured_ones_refused(tmp_path: Path, pictures) -> None:
    labels = pictures.draw()[1].astype(np.uint8)
    grey = pictures.write(tmp_path / "grey.png", np.repeat(labels[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_labels(grey), labels)
    coloured = pictures.write(tmp_path / "coloured.png", pictures.draw()[0])
    with pytest.raises(InputError, match=r"coloured\.png: is a coloured image"):
        read_labels(coloured)


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_file_is_named(tmp_path: Path, pictures, damage: str) -> None:
    file = pictures.write(tmp_path / "x.png", pictures.draw(60, 60)[0])
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"not an image"}[damage])
    with pytest.raises(InputError, match=r"(?s)x\.png: cannot be read.*remedy"):
        read_pixels(file)


def test_too_many_pixels_are_refused(tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    file = pictures.write(tmp_path / "x.png", pictures.draw(40, 40)[0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"(?s)x\.png: has too many pixels.*tiles"):
        read_pixels(file)


def test_sixteen_bit_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match="8-bit"):
        read_pixels(tmp_path / "x.tif")


def test_png_keeps_every_pixel(pictures) -> None:
    pixels = pictures.draw(31, 17)[0]
    np.testing.assert_array_equal(from_png(png(pixels)), pixels, strict=True)


@pytest.mark.parametrize("quality", [40, 95])
def test_a_black_and_white_jpeg_is_a_mask(tmp_path: Path, quality: int) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[20:70, 30:90] = 255
    mask[80:110, 100:150] = 255
    Image.fromarray(mask).convert("RGB").save(tmp_path / "x.jpg", quality=quality)
    np.testing.assert_array_equal(read_mask(tmp_path / "x.jpg"), mask)


def test_a_jpeg_of_label_values_is_refused(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(12, dtype=np.uint8) * 20, 10)[None].repeat(50, 0)
    Image.fromarray(labels).save(tmp_path / "x.jpg")
    with pytest.raises(InputError, match=r"(?s)x\.jpg: is a JPEG of other values.*PNG or TIFF"):
        read_mask(tmp_path / "x.jpg")
