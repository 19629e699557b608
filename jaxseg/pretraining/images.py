"""Unlabelled images of any sizes: found, checked, measured, and packed as one stack for the device."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxseg.compute.host import memory
from jaxseg.datasets.ahead import in_order
from jaxseg.datasets.image_files import SUFFIXES, read_pixels
from jaxseg.errors import InputError
from jaxseg.files import sha256, unreadable
from jaxseg.input.render import Stack, pack
from jaxseg.wording import counted, listed

MEMORY_SHARE = 0.6  # of the host's memory that the images may take while they are packed
LEAST_STD = 1e-4  # of a colour, in 0..1: less is no spread but rounding
BELOW = "**"  # in a pattern: all folders below
LOST = "lost+found"  # of the system, at the top of a disk; nobody else may look into it
_PICK = "choose files with --pattern, for instance --pattern 'images/*' or 'train_*[0-9].bmp'"


class _File(NamedTuple):
    height: int
    width: int
    sums: np.ndarray  # float64 (2, 3): of colours in 0..1 and of their squares
    coloured: bool
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Survey:
    """What is known of the images before they are packed.

    Attributes:
        folder, files: where they lie; files sorted by path.
        sizes: int32 (N, 2), heights and widths.
        mean, std: of all pixels in 0..1, red, green, blue.
        sha256: over the files' names and SHA-256.
        bytes: of all files.
    """

    folder: Path
    files: tuple[Path, ...]
    sizes: np.ndarray
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sha256: str
    bytes: int

    def stack(self) -> Stack:
        """All images in one padded stack on the host, with empty masks; `InputError` where memory is too small."""
        shape = (len(self.files), int(self.sizes[:, 0].max()), int(self.sizes[:, 1].max()))
        _check_memory(shape, self.folder)
        pixels = np.zeros((*shape, 3), np.uint8)

        def fill(number: int) -> None:
            height, width = self.sizes[number]
            pixels[number, :height, :width] = read_pixels(self.files[number])

        for _ in in_order(fill, range(len(self.files))):
            pass
        return pack(pixels, np.broadcast_to(np.uint8(0), shape), self.sizes)


def survey(folder: Path, pattern: str, smallest: int) -> Survey:
    """Read every image below `folder` once.

    Args:
        folder: searched with its subfolders.
        pattern: glob below `folder` that chooses among its image files.
        smallest: least height and width, pixels.

    Raises:
        InputError: no images, one that cannot be read, or some that are too small or have no colour at all; or pixels
            of a single colour throughout.
    """
    files = _find(folder, pattern)
    found = list(in_order(_measure, files))
    small = [file for file, one in zip(files, found, strict=True) if min(one.height, one.width) < smallest]
    grey = [file for file, one in zip(files, found, strict=True) if not one.coloured]
    _refuse(
        small, "too small", f"height and width of at least {smallest} pixels, half a crop", "choose a smaller --crop"
    )
    _refuse(grey, "without any colour", "stained tissue, not annotations or blank tiles", _PICK)
    sizes = np.array([(one.height, one.width) for one in found], np.int32)
    first, second = sum(one.sums for one in found) / sizes.prod(1, dtype=np.int64).sum()
    std = np.sqrt(np.maximum(second - first**2, 0))
    _check_spread(std, folder)
    names = [f"{one.sha256}  {file.relative_to(folder).as_posix()}\n" for file, one in zip(files, found, strict=True)]
    total = hashlib.sha256("".join(names).encode()).hexdigest()
    return Survey(folder, files, sizes, _three(first), _three(std), total, sum(one.bytes for one in found))


def _find(folder: Path, pattern: str) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, remedy="give a folder of images with --images")
    expected = f"files that fit {pattern!r} and end in {', '.join(SUFFIXES)}"
    try:
        for place in _walked(folder, pattern):
            _check_reached(place)
        everything = sorted(folder.glob(pattern))
    except (ValueError, NotImplementedError) as error:  # an absolute or empty pattern
        raise InputError(f"cannot be searched: {error}", file=folder, found=pattern, remedy=_PICK) from error
    files = tuple(
        file
        for file in everything
        if file.suffix.lower() in SUFFIXES
        and not file.name.startswith(".")
        and (file.is_file() or _leads_nowhere(file))
    )
    if not files:
        raise InputError("no images there", file=folder, expected=expected, remedy="check --images and --pattern")
    return files


def _walked(folder: Path, pattern: str) -> list[Path]:
    """Folders below which a pattern searches to any depth."""
    before, found, _ = f"/{pattern}/".partition(f"/{BELOW}/")
    if not found:
        return []
    return [place for place in folder.glob(before[1:]) if place.is_dir()] if before else [folder]


def _check_reached(folder: Path) -> None:
    """`InputError` where a folder below would be passed over without a word, and its images with it."""

    def refuse(error: OSError) -> None:
        if Path(error.filename).name != LOST:
            raise unreadable(Path(error.filename), error) from error

    linked: list[Path] = []
    for place, names, _ in os.walk(folder, onerror=refuse):
        names[:] = sorted(name for name in names if not name.startswith("."))
        linked += [Path(place, name) for name in names if Path(place, name).is_symlink()]
    if linked:
        raise InputError(
            "is a link to a folder, and such links are not followed: they may lead round in a circle",
            file=linked[0],
            found=f"{counted(len(linked), 'such link')} below {folder}",
            expected=f"folders, and links to single images, where --pattern holds {BELOW}",
            remedy="remove the link, or give a pattern that says how deep the images lie, such as --pattern '*/*'",
        )


def _leads_nowhere(file: Path) -> bool:
    """Such as a link to what was moved, or not fetched yet: an image that would be missing without a word."""
    return file.is_symlink() and not file.exists()


def _check_spread(std: np.ndarray, folder: Path) -> None:
    """Pixels are divided by it."""
    if std.min() < LEAST_STD:
        raise InputError(
            "a colour is the same in all pixels of all images",
            file=folder,
            found=f"standard deviations of red, green and blue {', '.join(f'{value:.1g}' for value in std)}",
            expected=f"at least {LEAST_STD:g} each, for colours in 0 … 1",
            remedy=f"give images of tissue, or {_PICK}",
        )


def _measure(file: Path) -> _File:
    pixels = read_pixels(file)
    counts = np.stack([np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)])
    levels = np.arange(256) / 255
    sums = np.stack([counts @ levels, counts @ levels**2])
    coloured = bool((pixels != pixels[..., :1]).any())
    return _File(pixels.shape[0], pixels.shape[1], sums, coloured, sha256(file), file.stat().st_size)


def _refuse(files: list[Path], problem: str, expected: str, remedy: str) -> None:
    if not files:
        return
    raise InputError(
        f"{len(files)} of the images {'is' if len(files) == 1 else 'are'} {problem}",
        found=listed(map(str, files)),
        expected=expected,
        remedy=f"remove them, or {remedy}",
    )


def _check_memory(shape: tuple[int, int, int], folder: Path) -> None:
    needed = 7 * int(np.prod(shape, dtype=np.int64))  # 3 bytes a pixel as read, 4 as packed
    available = MEMORY_SHARE * memory()
    if needed > available:
        raise InputError(
            f"{shape[0]} images, padded to {shape[1]} x {shape[2]}, do not fit into memory",
            file=folder,
            found=f"{needed / 2**30:.1f} GiB",
            expected=f"at most {available / 2**30:.1f} GiB",
            remedy="cut the images into tiles of one size, choose fewer with --pattern, or use a larger machine",
        )


def _three(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
