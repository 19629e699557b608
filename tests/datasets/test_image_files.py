"""Image files: what is accepted, what is refused and how it is said."""

import struct
import warnings
import zlib
from pathlib import Path
from typing import Literal

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


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_labels_are_refused(tmp_path: Path, pictures, kind: str) -> None:
    file = tmp_path / "x.png"
    Image.fromarray(pictures.draw()[1].astype(np.uint8)).save(file, kind)
    with pytest.raises(InputError, match=rf"(?s)x\.png: is a {kind}, which may not keep.*PNG, TIFF, BMP.*export"):
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


BLACK, WHITE, RED, DARK = (0, 0, 0), (255, 255, 255), (200, 10, 30), (10, 10, 10)
BLUE = (0, 0, 255)  # darker than red to the eye
VOC = [BLACK, (128, 0, 0), (0, 128, 0), (128, 128, 0)]
VOC_8 = [*VOC, (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128)]


def _indexed(file: Path, indices: list[int], palette: list[tuple[int, int, int]]) -> Path:
    image = Image.frombytes("P", (len(indices), 1), bytes(indices))
    image.putpalette([value for entry in palette for value in entry])
    image.save(file)
    return file


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("indices", "palette", "labels"),
    [
        ([0, 1, 0], [WHITE, BLACK], [255, 0, 255]),  # more foreground than background
        ([0, 1, 0], [BLACK, WHITE], [0, 255, 0]),
        ([0, 0], [WHITE, BLACK], [255, 255]),
        ([1, 1], [WHITE, BLACK], [0, 0]),
        ([0, 2, 1], [(k, k, k) for k in (0, 2, 1)], [0, 1, 2]),  # class numbers, ordered by frequency
        ([0, 1, 2], [(k, k, k) for k in range(256)], [0, 1, 2]),
        ([0, 1, 2], [(k, k, k) for k in (0, 80, 160)], [0, 80, 160]),
        ([0, 1, 2], [(k, k, k) for k in (0, 80, 80)], [0, 1, 2]),  # a ramp in which two labels look the same
        ([0, 7, 9], [BLACK, WHITE, *[BLACK] * 8], [0, 7, 9]),  # entries that nobody chose
        ([0, 1, 0], [DARK, WHITE], [0, 1, 0]),
        ([0, 0], [DARK, WHITE], [0, 0]),
        ([0, 1, 3, 2], VOC, [0, 1, 3, 2]),
        ([1, 2, 1], [WHITE, BLACK, RED], [1, 2, 1]),  # entry 0 is not in use
        ([0, 7, 0], VOC_8, [0, 7, 0]),  # a class whose colour happens to be grey
        ([7, 7], VOC_8, [7, 7]),
        ([0, 2, 0], [WHITE, RED, BLACK], [255, 0, 255]),  # colours that are not in use, and no numbers of classes
        ([2, 1, 2], [BLACK, WHITE, BLACK, RED], [0, 255, 0]),
        ([0, 0], [WHITE, BLACK, RED], [255, 255]),  # foreground throughout
        ([1, 2, 1], [(k, k, k) for k in (9, 3, 5)], [3, 5, 3]),  # of several classes
        ([0, 1, 0], [BLUE, RED], [0, 1, 0]),
    ],
)
def test_palettes_are_read_as_they_look(tmp_path: Path, indices, palette, labels, suffix: str) -> None:
    file = _indexed(tmp_path / f"x{suffix}", indices, palette)
    assert read_labels(file).tolist() == [labels]


@pytest.mark.parametrize(
    ("indices", "palette", "found"),
    [
        ([0, 1], [WHITE, RED], r"entry 0 \(255, 255, 255\), entry 1 \(200, 10, 30\)"),
        ([0, 2], [RED, WHITE, BLACK], r"entry 0 \(200, 10, 30\), entry 2 \(0, 0, 0\)"),
        ([0, 1], [RED, BLUE], r"entry 0 \(200, 10, 30\), entry 1 \(0, 0, 255\)"),
        ([0, 1], [WHITE, DARK], r"entry 0 \(255, 255, 255\), entry 1 \(10, 10, 10\)"),  # no background among greys
        ([0, 1, 2], [WHITE, BLACK, WHITE], r"entry 0 \(255, 255, 255\), entry 1 \(0, 0, 0\)"),
    ],
)
def test_palettes_without_a_dark_background_are_refused(tmp_path: Path, indices, palette, found: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)x\.png: has a palette.*{found}.*remedy: +save it as a grey image"):
        read_labels(_indexed(tmp_path / "x.png", indices, palette))


def test_a_bitmap_whose_palette_begins_with_white(tmp_path: Path) -> None:
    file = _indexed(tmp_path / "x.bmp", [0, 1, 0], [WHITE, BLACK])
    assert read_labels(file).tolist() == [[255, 0, 255]]


def test_a_mask_that_was_quantised_keeps_its_foreground(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:, 3:] = 255  # most of it
    Image.fromarray(np.repeat(mask[..., None], 3, axis=2)).quantize(2).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "x.png"), mask)


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


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_too_many_pixels_are_refused_whatever_warnings_do(
    action: Literal["error", "ignore"], tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pictures.write(tmp_path / "x.png", pictures.draw(40, 40)[0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(InputError, match=r"(?s)x\.png: has too many pixels.*1000.*tiles"):
            read_pixels(file)


def test_sixteen_bit_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match="8-bit"):
        read_pixels(tmp_path / "x.tif")


def test_an_image_of_other_values_is_to_be_saved_with_eight_bits(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(InputError, match=r"(?s)x\.tif: is not an 8-bit.*remedy: +save it with 8 bits a channel"):
        read_pixels(tmp_path / "x.tif")


def test_labels_of_sixty_four_bits_are_to_be_saved_with_fewer(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((4, 4), np.int64))
    with pytest.raises(InputError, match=r"(?s)x\.tif: cannot be read.*remedy.*labels as 8- or 16-bit greys"):
        read_mask(tmp_path / "x.tif")


def _imagej(file: Path) -> None:
    tifffile.imwrite(file, np.zeros((3, 8, 12), np.uint8), imagej=True, metadata={"axes": "CYX"})


def _ome(file: Path) -> None:
    tifffile.imwrite(file, np.zeros((3, 8, 12), np.uint8), ome=True, photometric="minisblack", metadata={"axes": "CYX"})


def _deep_stack(file: Path) -> None:
    tifffile.imwrite(file, np.zeros((2, 8, 12), np.uint16), photometric="minisblack")


def _compressed(file: Path) -> None:
    tifffile.imwrite(file, np.zeros((2, 8, 12), np.uint8), photometric="minisblack", compression="zlib")


def _thumbnail_first(file: Path) -> None:
    _save_pages(file, [(4, 6), (8, 12)])


def _save_pages(file: Path, sizes: list[tuple[int, int]], format: str = "TIFF", **options: object) -> np.ndarray:
    pages = [np.full((*size, 3), 20 * (k + 1), np.uint8) for k, size in enumerate(sizes)]
    first, *further = map(Image.fromarray, pages)
    first.save(file, format, save_all=True, append_images=further, **options)
    return pages[0]


def _animated(file: Path) -> None:
    _save_pages(file, [(8, 12), (8, 12)], "PNG")


@pytest.mark.parametrize("write", [_imagej, _ome, _deep_stack, _compressed, _thumbnail_first, _animated])
@pytest.mark.parametrize("read", [read_labels, read_mask, read_pixels])
def test_stacks_are_refused(tmp_path: Path, read, write) -> None:
    write(tmp_path / "x.tif")
    with pytest.raises(InputError, match=r"(?s)x\.tif: holds several pages \(channels.*remedy: +save one page a file"):
        read(tmp_path / "x.tif")


def test_animated_webp_is_refused(tmp_path: Path) -> None:
    _save_pages(tmp_path / "x.webp", [(8, 12), (8, 12)], "WEBP", lossless=True)
    with pytest.raises(InputError, match="holds several pages"):
        read_pixels(tmp_path / "x.webp")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_the_first_page_of_a_pyramid_is_read(tmp_path: Path, compression: str) -> None:
    first = _save_pages(tmp_path / "x.tif", [(8, 12), (4, 6), (2, 3)], compression=compression)
    np.testing.assert_array_equal(read_pixels(tmp_path / "x.tif"), first)


def test_what_a_camera_appends_to_a_jpeg_is_no_page(tmp_path: Path) -> None:
    first = _save_pages(tmp_path / "x.jpg", [(8, 12), (8, 12)], "MPO")
    np.testing.assert_array_equal(read_pixels(tmp_path / "x.jpg"), first)


def test_a_damaged_further_page_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.tif"
    _save_pages(file, [(8, 12), (4, 6)])
    with tifffile.TiffFile(file) as tiff:
        place = tiff.pages[1].tags["ImageWidth"].offset
    content = bytearray(file.read_bytes())
    content[place : place + 2] = b"\0\0"  # no width any more
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"(?s)x\.tif: has a further page that cannot be read.*remedy"):
        read_pixels(file)


LYING = np.arange(8 * 12, dtype=np.uint8).reshape(8, 12)
UPRIGHT = {1: LYING, 3: LYING[::-1, ::-1], 6: np.rot90(LYING, -1), 7: np.rot90(LYING, 2).T, 8: np.rot90(LYING)}


def _turned(file: Path, pixels: np.ndarray, orientation: int, **options: object) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, exif=exif, **options)
    return file


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".webp", {"lossless": True}),
        (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
        (".jpg", {"quality": 100, "subsampling": 0}),
    ],
)
def test_images_are_read_as_viewers_show_them(tmp_path: Path, orientation: int, suffix: str, options: dict) -> None:
    file = _turned(tmp_path / f"x{suffix}", np.repeat(LYING[..., None], 3, axis=2), orientation, **options)
    expected = np.repeat(UPRIGHT[orientation][..., None], 3, axis=2)
    np.testing.assert_allclose(read_pixels(file), expected, atol=3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_masks_are_turned_like_images(tmp_path: Path, orientation: int, kind: type, suffix: str) -> None:
    file = _turned(tmp_path / f"x{suffix}", LYING.astype(kind), orientation)
    np.testing.assert_array_equal(read_mask(file), UPRIGHT[orientation])


def test_a_black_and_white_jpeg_is_turned(tmp_path: Path) -> None:
    mask = np.zeros((80, 120), np.uint8)
    mask[:40, :40] = 255
    np.testing.assert_array_equal(read_mask(_turned(tmp_path / "x.jpg", mask, 6, quality=95)), np.rot90(mask, -1))


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0MM"])
def test_an_image_whose_exif_is_damaged_is_read_as_stored(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(LYING).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(read_labels(tmp_path / "x.png"), LYING)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.uint16])
@pytest.mark.parametrize("read", [read_labels, read_mask])
def test_masks_in_which_white_is_zero_are_refused(tmp_path: Path, kind: type, read) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.eye(20, dtype=kind), photometric="miniswhite")
    with pytest.raises(InputError, match=r"(?s)x\.tif: is a mask in which white stands for 0.*remedy.*min-is-black"):
        read(tmp_path / "x.tif")


def test_an_image_in_which_white_is_zero_is_read_as_it_looks(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", LYING, photometric="miniswhite")
    np.testing.assert_array_equal(read_pixels(tmp_path / "x.tif")[..., 0], 255 - LYING)


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
