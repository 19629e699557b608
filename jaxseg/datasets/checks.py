"""Checks of a dataset: before it is read (counts, ids) and after (what looks odd)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from jaxseg.datasets.card import Card, Row
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example
from jaxseg.errors import InputError

SHOWN = 5  # names listed before "and N more"
NEARLY_ALL = 0.98


def check_examples(description: Description, examples: Sequence[Example], allow_incomplete: bool) -> list[str]:
    """Ids must be unique, both splits filled, counts official.

    Returns the differences in counts where these are allowed; otherwise they are an `InputError`.
    """
    clashes = [image for image, count in Counter(example.id for example in examples).items() if count > 1]
    if clashes:
        raise InputError(
            f"two images of dataset {description.name} have the same id",
            found=_listed(clashes),
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


def oddities(rows: Sequence[Row]) -> list[str]:
    """Warnings about prepared images: empty or full masks, copies, patients in both splits."""
    warnings = []
    empty = [row.id for row in rows if row.objects == 0]
    if empty:
        warnings.append(f"no foreground in {len(empty)} of {len(rows)} images: {_listed(empty)}")
    full = [row.id for row in rows if row.foreground > NEARLY_ALL]
    if full:
        warnings.append(f"nearly no background in {len(full)} of {len(rows)} images: {_listed(full)}")
    seen: dict[str, str] = {}
    copies = []
    for row in rows:
        if row.pixels_sha256 in seen:
            copies.append(f"{row.id} = {seen[row.pixels_sha256]}")
        seen.setdefault(row.pixels_sha256, row.id)
    if copies:
        warnings.append(f"{len(copies)} images are pixel for pixel copies of others: {_listed(copies)}")
    patients = [{row.patient for row in rows if row.split == split} for split in ("train", "test")]
    shared = sorted(patients[0] & patients[1])
    if shared:
        warnings.append(f"{len(shared)} patients have images in train and in test: {_listed(shared)}")
    return warnings


def summary(card: Card) -> str:
    """Counts, sizes, objects and foreground per subset, and the warnings; plain text for people."""
    lines = [f"{card.name}: {card.title} ({card.task}), {len(card.images)} images, {card.fingerprint[:12]}"]
    for split, subset in dict.fromkeys((row.split, row.subset) for row in card.images):
        lines.append("  " + _line(split, subset, [row for row in card.rows(split) if row.subset == subset]))
    return "\n".join(lines + [f"  warning: {warning}" for warning in card.warnings])


def _line(split: str, subset: str, rows: Sequence[Row]) -> str:
    where = split if split == subset else f"{split} ({subset})"
    heights, widths = [row.height for row in rows], [row.width for row in rows]
    foreground = sum(row.foreground for row in rows) / len(rows)
    patients = len({row.patient for row in rows})
    return (
        f"{where}: {len(rows)} images, {patients} patients, height {_span(heights)}, width {_span(widths)}, "
        f"{sum(row.objects for row in rows)} objects, foreground {foreground:.3f}"
    )


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} … {high}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
