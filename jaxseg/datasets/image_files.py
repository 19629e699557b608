"""Image files that come from elsewhere: read with a list of formats and a limit of size, or refused by name."""

import contextlib
import io
import itertools
import math
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, ImageSequence, UnidentifiedImageError

from jaxseg.errors import InputError

FORMATS = ("PNG", "TIFF", "BMP", "JPEG", "WEBP")  # told from the content: a JPEG named .png is read
LABEL_FORMATS = ("PNG", "TIFF", "BMP")  # lossless ones
SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".webp")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
MASK_SUFFIXES = (*LABEL_SUFFIXES, ".jpg", ".jpeg")  # JPEG cannot hold labels, but black and white survive it
_JPEG_NOISE = 64  # grey levels that compression moves a pixel away from black or white, at most …
_JPEG_SHARE = 0.98  # … in this part of the pixels; the rest are blurred outlines
_DEEP = re.compile(r"[A-Za-z]+;16[BLN]")  # decoders of colours that keep the high byte of each channel alone
_BITS = 258  # tag of TIFF: bits of each channel
_PHOTOMETRIC = 262  # tag of TIFF: what the values stand for …
_WHITE_IS_ZERO = 0  # … here greys, 0 the brightest
# What Pillow raises, as it happens, where the tags of a page or of an EXIF block are damaged.
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError, struct.error)
_BRIGHTNESS = np.array([299, 587, 114])  # of red, green and blue, in parts of a thousand (ITU-R BT.601)
_GREY = ("L", "LA", "P", "1", "I", "I;16", "I;16L", "I;16B", "F")
_EXPORT = "export the annotation as a grey or 16-bit image"
_REPLACE = "replace the file by a good copy (or remove it together with its annotation), then repeat the command"
_SAVE_ANEW = "if other programs open it, save images with 8 bits a channel and labels as 8- or 16-bit greys; otherwise "
_ONE_PAGE = "save one page a file: a colour image as RGB, the objects of a mask as numbers in one page"


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[ImageFile.ImageFile]:
    """The decoded image, upright; whatever Pillow objects to becomes an `InputError`."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            _refuse_large(image)
            _refuse_pages(image, file)
            _refuse_deep_colours(image, file)
            image.filename = ""  # or Pillow maps greys of a TIFF into memory at their turned size: scrambled
            image.load()
            _turn_upright(image)
            yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        remedy = "cut it into tiles first"
        raise InputError(f"has too many pixels: {error}", file=file, remedy=remedy) from error
    except FileNotFoundError:
        raise InputError("no such file", file=file, remedy=_REPLACE) from None
    except (OSError, SyntaxError, ValueError) as error:
        expected = f"an undamaged image ({', '.join(FORMATS)})"
        remedy = _SAVE_ANEW + _REPLACE if isinstance(error, UnidentifiedImageError) else _REPLACE
        raise InputError(f"cannot be read: {error}", file=file, expected=expected, remedy=remedy) from error


def _refuse_large(image: Image.Image) -> None:
    """Of up to twice too many pixels Pillow only warns, and threads, who share their filters of warnings, read here."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and math.prod(image.size) > limit:
        width, height = image.size
        raise Image.DecompressionBombError(f"{width} x {height}, and {limit} are allowed")


def _refuse_pages(image: ImageFile.ImageFile, file: Path) -> None:
    """Of several pages Pillow reads the first, without a word: one channel of a stack, or one object of many.

    Smaller pages are of a pyramid, or a preview; those that cameras append to a JPEG are no part of the picture.
    """
    if not getattr(image, "is_animated", False) or image.format == "MPO":
        return
    area = math.prod(image.size)
    try:
        further = itertools.islice(ImageSequence.Iterator(image), 1, None)
        large = any(math.prod(page.size) >= area for page in further)
        image.seek(0)
    except _DAMAGED as error:
        problem = f"has a further page that cannot be read: {error}"
        raise InputError(problem, file=file, expected="an image of one page", remedy=_ONE_PAGE) from error
    if large:
        raise InputError(
            "holds several pages (channels, objects or a stack)",
            file=file,
            found="another page as large as the first",
            expected="one page, or smaller ones beside it",
            remedy=_ONE_PAGE,
        )


def _turn_upright(image: Image.Image) -> None:
    """Turn the image as its EXIF orientation says, and as viewers show it; Pillow itself does so for TIFF alone."""
    with contextlib.suppress(*_DAMAGED):  # viewers pass over a damaged EXIF block, which is no part of the picture
        ImageOps.exif_transpose(image, in_place=True)


def _refuse_deep_colours(image: ImageFile.ImageFile, file: Path) -> None:
    """Pillow decodes 16 bits a channel to 8, without a word: labels 1 and 300 would become 0 and 1."""
    if image.mode.startswith(("I", "F")):  # one channel, kept exactly
        return
    decoders = [str(part) for tile in image.tile for part in np.ravel(np.array(tile.args, object))]
    deep = any(map(_DEEP.fullmatch, decoders)) or max(getattr(image, "tag_v2", {}).get(_BITS, (8,))) > 8
    if deep:
        raise InputError(
            "has 16 bits a channel",
            file=file,
            found=f"mode {image.mode}, decoder {decoders[0]}",
            expected="8 bits a channel; labels of 16 bits in a single grey channel",
            remedy="save colours with 8 bits a channel; " + _EXPORT,
        )


def read_pixels(file: Path) -> npt.NDArray[np.uint8]:
    """RGB pixels, (H, W, 3) uint8, upright; an alpha channel is dropped, not blended; grey becomes RGB."""
    with _opened(file) as image:
        if image.mode.startswith(("I", "F")):
            raise InputError(
                "is not an 8-bit colour image",
                file=file,
                found=f"mode {image.mode}",
                expected="RGB, or grey of 8 bits",
                remedy="save it with 8 bits a channel",
            )
        return np.array(image.convert("RGB"))


def read_labels(file: Path) -> npt.NDArray[np.int32]:
    """Label values as stored, (H, W) int32: 8- and 16-bit greys, an RGB image that is grey, or a palette.

    Of a palette its greys are taken, as a viewer shows them, or its indices where it is one of colours.
    """
    with _opened(file) as image:
        _refuse_lossy(image, file)
        _refuse_white_is_zero(image, file)
        values = np.array(image)
        mode = image.mode
        palette = image.getpalette("RGB") if mode == "P" else None
    if palette is not None:
        values = _of_palette(values, palette, file)
    elif mode == "LA":
        values = values[..., 0]
    elif mode in ("RGB", "RGBA"):
        values = _only_channel(values[..., :3], file)
    elif mode not in _GREY:
        raise InputError(
            "is not a label image", file=file, found=f"mode {mode}", expected="one value per pixel", remedy=_EXPORT
        )
    return whole_numbers(values, file)


def _refuse_lossy(image: ImageFile.ImageFile, file: Path) -> None:
    if image.format not in LABEL_FORMATS:
        raise InputError(
            f"is a {image.format}, which may not keep the values of labels",
            file=file,
            expected=", ".join(LABEL_FORMATS),
            remedy=_EXPORT + " (PNG or TIFF)",
        )


def _refuse_white_is_zero(image: Image.Image, file: Path) -> None:
    """ImageJ and tifffile mean the value stored, scanners the brightness shown; Pillow inverts 8 bits, but not 16."""
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise InputError(
            "is a mask in which white stands for 0, so what is background cannot be told",
            file=file,
            found="PhotometricInterpretation 0 (white is zero, an inverted lookup table)",
            expected="PhotometricInterpretation 1 (black is zero)",
            remedy="save it with black for 0 (as PNG, or as TIFF min-is-black), the background black",
        )


def _of_palette(indices: npt.NDArray[np.generic], palette: Sequence[int], file: Path) -> npt.NDArray[np.generic]:
    """Labels of an image with a palette, (H, W): programs order its entries by frequency, so index 0 may be white.

    Greys are taken where the palette does not number colours, none stands for two labels and the background is among
    them; indices otherwise, whose 0 must then be the darkest entry in use.
    """
    colours = np.zeros((256, 3), np.int64)  # what a palette leaves out is black
    colours.reshape(-1)[: len(palette)] = palette
    used = np.unique(indices)
    entries = colours[used]
    greys = entries[:, 0]
    distinct = len(np.unique(greys)) == len(used)
    grey = (entries == greys[:, None]).all() and not _numbers_colours(colours, used)
    if grey and distinct and _has_background(used, greys):
        return greys[np.searchsorted(used, indices)]
    brightness = entries @ _BRIGHTNESS
    darkest = brightness.argmin()
    if used[0] == 0 and brightness[0] > brightness[darkest]:
        raise InputError(
            "has a palette whose entry 0 is not the darkest, so what is background cannot be told",
            file=file,
            found=f"entry 0 {_colour(entries[0])}, entry {used[darkest]} {_colour(entries[darkest])}",
            expected="entry 0 black, the background",
            remedy="save it as a grey image of class numbers: 0 background, and the foreground or a number per object",
        )
    return indices


def _numbers_colours(colours: npt.NDArray[np.int64], used: npt.NDArray[np.generic]) -> bool:
    """Whether the palette is one of colours for classes after a black entry 0, and no other black one is in use.

    A mask may happen to hold classes alone whose colour is grey, such as 7 of PASCAL VOC's palette.
    """
    black = (colours == 0).all(1)
    coloured = (colours != colours[:, :1]).any()
    return bool(coloured and black[0] and not black[used[used != 0]].any())


def _has_background(used: npt.NDArray[np.generic], greys: npt.NDArray[np.int64]) -> bool:
    """Whether a grey of 0 is background, or the image is foreground throughout."""
    return bool(used[0] != 0 or (greys == 0).any() or greys.tolist() == [255])


def _colour(entry: npt.NDArray[np.int64]) -> str:
    return "({}, {}, {})".format(*entry)


def read_mask(file: Path) -> npt.NDArray[np.int32]:
    """Like `read_labels`, (H, W) int32; besides a JPEG of black and white, which becomes 0 and 255."""
    with _opened(file) as image:
        lossy = image.format == "JPEG"
        grey = np.array(image.convert("L")) if lossy else None
    if grey is None:
        return read_labels(file)
    clear = np.minimum(grey, 255 - grey) <= _JPEG_NOISE
    if clear.mean() < _JPEG_SHARE:
        raise InputError(
            "is a JPEG of other values than black and white, and JPEG does not keep values",
            file=file,
            found=f"{1 - clear.mean():.0%} of the pixels between black and white",
            expected=f"at most {1 - _JPEG_SHARE:.0%}, the blurred outlines of a mask",
            remedy=_EXPORT + " (PNG or TIFF)",
        )
    return np.where(grey >= 128, 255, 0).astype(np.int32)


def _only_channel(values: npt.NDArray[np.generic], file: Path) -> npt.NDArray[np.generic]:
    if (values != values[..., :1]).any():
        raise InputError(
            "is a coloured image, not a label image",
            file=file,
            expected="one value per pixel: 0 background, and the foreground or a number per object",
            remedy=_EXPORT,
        )
    return values[..., 0]


def whole_numbers(values: npt.NDArray[np.generic], file: Path) -> npt.NDArray[np.int32]:
    """Labels as int32; `InputError` where they are fractional, negative or too large."""
    numbers = np.asarray(values)
    if numbers.ndim != 2 or numbers.dtype.kind not in "biuf":
        found = f"{numbers.dtype} array of shape {numbers.shape}"
        expected = "one whole number per pixel"
        raise InputError("is not a label map", file=file, found=found, expected=expected, remedy=_REPLACE)
    if numbers.size == 0:
        raise InputError("holds no pixels", file=file, expected="one whole number per pixel", remedy=_REPLACE)
    if numbers.dtype.kind == "f" and not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
        raise InputError("has labels that are no whole numbers", file=file, remedy=_REPLACE)
    if numbers.min() < 0 or numbers.max() > np.iinfo(np.int32).max:
        found = f"{numbers.min()} … {numbers.max()}"
        expected = "0 … 2147483647"
        raise InputError("has labels out of range", file=file, found=found, expected=expected, remedy=_REPLACE)
    return numbers.astype(np.int32)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The pixels as PNG bytes, lossless.

    Tissue repeats nothing but neighbours: looking for runs only is faster both ways than looking for all repetitions,
    and the files are no larger.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def from_png(content: bytes) -> npt.NDArray[np.uint8]:
    """The inverse of `png`."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        return np.array(image)
