"""Checks of a dataset: before it is read (counts, ids) and after (what looks odd)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from jaxseg.datasets.card import Card, Row
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example
from jaxseg.datasets.overlap import same_images
from jaxseg.datasets.regions import SPECKS
from jaxseg.errors import InputError
from jaxseg.wording import counted, listed

NEARLY_ALL = 0.98
_PIXEL = 4  # bytes of a pixel and its mask in the stack of a split
_MUCH, _WASTED = 10**9, 4  # a stack is told of from this many bytes on, if it is so many times its images


def check_examples(description: Description, examples: Sequence[Example], allow_incomplete: bool) -> list[str]:
    """Ids must be unique, both splits filled, counts official.

    Returns the differences in counts where these are allowed; otherwise they are an `InputError`.
    """
    clashes = [image for image, count in Counter(example.id for example in examples).items() if count > 1]
    if clashes:
        raise InputError(
            f"two images of dataset {description.name} have the same id",
            found=listed(clashes),
            expected="every id once",
            remedy="rename one of the files, or remove the copy",
        )
    splits: Counter[str] = Counter(example.split for example in examples)
    for split in ("train", "test"):
        if not splits[split]:
            raise InputError(
                f"dataset {description.name} has no {split} images",
                found=f"{len(examples)} images in all",
                expected=description.layout or f"at least one {split} image",
                remedy=description.how_to_get or "add images",
            )
    subsets = Counter(example.subset for example in examples)
    wrong = _differences(splits, description.counts, "split") + _differences(subsets, description.subsets, "subset")
    if wrong and not allow_incomplete:
        raise InputError(
            f"dataset {description.name} differs from the official release",
            found="; ".join(wrong),
            expected=", ".join(
                f"{count} {name}" for name, count in (description.subsets or description.counts).items()
            ),
            remedy="unpack the archives again, or accept what is there with --allow-incomplete",
        )
    return wrong


def _differences(found: Mapping[str, int], official: Mapping[str, int], kind: str) -> list[str]:
    return [
        f"{found.get(name, 0)} images instead of {count} in {kind} {name}"
        for name, count in official.items()
        if found.get(name, 0) != count
    ]


def check_annotated(description: Description, rows: Sequence[Row]) -> None:
    """`InputError` where masks tell nothing, in any image: all are empty, or foreground throughout."""
    if all(row.objects == 0 for row in rows):
        raise InputError(
            f"the masks of dataset {description.name} are empty",
            found=f"no foreground in any of {len(rows)} images",
            expected="0 for background, and the foreground or a number per object",
            remedy="export the annotation again: pixels must differ from 0 where there is foreground",
        )
    if all(row.foreground == 1 for row in rows):
        raise InputError(
            f"the masks of dataset {description.name} have no background",
            found=f"every pixel of all {len(rows)} images is foreground",
            expected="0 for background, and the foreground or a number per object",
            remedy="save masks in which background is 0: neither 1, nor told by transparency alone",
        )


def oddities(rows: Sequence[Row]) -> list[str]:
    """Warnings about prepared images: odd masks, much padding, copies, patients in both splits."""
    checks = (_masks, _scattered, _equal_masks, _padding, _copies, _near_copies, _patients)
    return [line for check in checks for line in check(rows)]


def not_apart(rows: Sequence[Row]) -> list[str]:
    """What joins the test images to the training images, so that scores on them flatter: copies, patients."""
    return [line for check in (_copies_of_training, _near_copies, _patients) for line in check(rows)]


def _masks(rows: Sequence[Row]) -> Iterator[str]:
    empty = [row.id for row in rows if row.objects == 0]
    if empty:
        yield f"no foreground in {len(empty)} of {len(rows)} images: {listed(empty)}"
    full = [row.id for row in rows if row.foreground > NEARLY_ALL]
    if full:
        yield f"nearly no background in {len(full)} of {len(rows)} images: {listed(full)}"
    specks = [row.id for row in rows if 2 * row.specks > row.objects]
    if specks:
        yield (
            f"most objects have less than {SPECKS} pixels in {len(specks)} of {len(rows)} images: "
            f"{listed(specks)} (was the mask smoothed, or saved with loss?)"
        )


def _scattered(rows: Sequence[Row]) -> Iterator[str]:
    """A class lies in many places, an object in one: masks of classes that were taken for objects."""
    annotated = [row for row in rows if row.objects]
    scattered = [row.id for row in annotated if row.pieces >= 2 * row.objects]
    if 2 * len(scattered) > len(annotated):
        yield (
            f"an object lies in several pieces in {len(scattered)} of {len(annotated)} annotated images: "
            f"{listed(scattered)} (are the values classes? then prepare with --masks classes)"
        )


def _equal_masks(rows: Sequence[Row]) -> Iterator[str]:
    """Of images that differ: listed or exported by mistake, or the same tissue twice."""
    first: dict[str, Row] = {}
    telling = [row for row in rows if row.objects and row.foreground < 1]
    pairs = [(row, first.setdefault(row.instances_sha256, row)) for row in telling]
    equal = [f"{row.id} = {other.id}" for row, other in pairs if row.pixels_sha256 != other.pixels_sha256]
    if equal:
        number = counted(len(equal), "mask is", "masks are")
        yield f"{number} equal to that of another image: {listed(equal)}"


def _padding(rows: Sequence[Row]) -> Iterator[str]:
    """A split is one stack, so that one large image among small ones makes all of them large."""
    for split in dict.fromkeys(row.split for row in rows):
        own = [row for row in rows if row.split == split]
        height, width = max(row.height for row in own), max(row.width for row in own)
        padded = _PIXEL * len(own) * height * width
        if padded >= _MUCH and padded > _WASTED * _PIXEL * sum(row.height * row.width for row in own):
            largest = max(own, key=lambda row: row.height * row.width)
            yield (
                f"{len(own)} {split} images are padded to {height} x {width} each, {padded / 1e9:.1f} GB in memory and "
                f"more in training: cut large ones into tiles ({largest.id} is {largest.height} x {largest.width})"
            )


def _copies(rows: Sequence[Row]) -> Iterator[str]:
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.pixels_sha256, row.id)
    copies = [f"{row.id} = {first[row.pixels_sha256]}" for row in rows if first[row.pixels_sha256] != row.id]
    if copies:
        number = counted(len(copies), "image is", "images are")
        yield f"{number} equal to others pixel for pixel: {listed(copies)}"


def _copies_of_training(rows: Sequence[Row]) -> Iterator[str]:
    train = {row.pixels_sha256: row.id for row in rows if row.split == "train"}
    test = [row for row in rows if row.split == "test" and row.pixels_sha256 in train]
    if test:
        named = listed(f"{row.id} = {train[row.pixels_sha256]}" for row in test)
        number = counted(len(test), "test image is", "test images are")
        yield f"{number} equal to training images pixel for pixel: {named}"


def _near_copies(rows: Sequence[Row]) -> Iterator[str]:
    train, test = ([row for row in rows if row.split == split] for split in ("train", "test"))
    pairs = [(a, b) for a, b in same_images(test, train) if a.pixels_sha256 != b.pixels_sha256]
    if pairs:
        named = listed(f"{a.id} ~ {b.id}" for a, b in pairs)
        number = counted(len(pairs), "test image is", "test images are")
        yield f"{number} nearly equal to training images: {named}"


def _patients(rows: Sequence[Row]) -> Iterator[str]:
    train, test = ({row.patient for row in rows if row.split == split} for split in ("train", "test"))
    if train & test:
        number = counted(len(train & test), "patient has", "patients have")
        yield f"{number} images in train and in test: {listed(sorted(train & test))}"


def summary(card: Card) -> str:
    """Counts, sizes, objects and foreground per subset, and the warnings; plain text for people."""
    lines = [f"{card.name}: {card.title} ({card.task}), {counted(len(card.images), 'image')}, {card.fingerprint[:12]}"]
    for split, subset in dict.fromkeys((row.split, row.subset) for row in card.images):
        lines.append("  " + _line(split, subset, [row for row in card.rows(split) if row.subset == subset]))
    return "\n".join(lines + [f"  warning: {warning}" for warning in card.warnings])


def _line(split: str, subset: str, rows: Sequence[Row]) -> str:
    where = split if split == subset else f"{split} ({subset})"
    heights, widths = [row.height for row in rows], [row.width for row in rows]
    foreground = sum(row.foreground for row in rows) / len(rows)
    by_themselves = all(row.patient == row.id for row in rows)  # as where patients are not told
    patients = "each taken for a patient" if by_themselves else counted(len({row.patient for row in rows}), "patient")
    return (
        f"{where}: {counted(len(rows), 'image')}, {patients}, height {_span(heights)}, width {_span(widths)}, "
        f"{counted(sum(row.objects for row in rows), 'object')}, foreground {foreground:.3f}"
    )


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} … {high}"
