"""Which images train, which validate: by patient, nested over fractions, blind to the weights.

Paper, section 2: 80/20 of the official training set; 10 … 100 % of the training data. It leaves open whether the
split is drawn anew per repeat (here: yes) and whether fractions are nested (here: yes).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from jaxseg import seeds
from jaxseg.errors import InputError, UsageError

Item = TypeVar("Item")
TOLERANCE = 1 / 3  # of the number of validation images that is asked for, where patients have different numbers


@dataclass(frozen=True)
class Split:
    """Image ids in the order of the dataset; `notes` say what could not be honoured, and why."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    notes: tuple[str, ...] = ()


def split(
    dataset_name: str,
    ids: Sequence[str],
    patients: Sequence[str],
    repeat: int,
    fraction: float,
    validation_share: float,
    once: bool = False,
) -> Split:
    """Divide the official training images of a dataset into training and validation.

    The validation images depend on (dataset, repeat) only, so every fraction is selected on the same ones. No patient
    stands on both sides unless there is only one. Their number is as near to the one asked for as the patients allow
    that are drawn, off by a third at most where any patients are so near: the nearest of all would be the same few
    patients, repeat after repeat, and repeats are there to show what other patients would have given.

    The training images of a fraction are those of the first so many patients in one fixed order, whole patients always:
    a smaller fraction is a subset of any larger one, and its number of images is as near to the one asked for as whole
    patients allow.

    Args:
        ids: of the training images, unique, in any order; the result does not depend on the order.
        patients: the patient of each image; an image's own id where it is not known.
        fraction: of what remains after the validation images are taken, (0, 1]; at least one patient.
        validation_share: (0, 1); rounded half up, at least one image, and at least one is left for training.
        once: there are no repeats: the number is the nearest of all that the patients allow.
    """
    _check(dataset_name, ids, patients, fraction, validation_share)
    notes: list[str] = []
    groups = _groups(ids, patients)
    if len(groups) == 1:
        notes.append(f"all images are of one patient ({groups[0][0]}): validation is not independent of training")
        groups = _groups(ids, ids)
    rng = seeds.generator("split", dataset_name, repeat)
    shuffled = [_shuffled(rng, members) for _, members in _shuffled(rng, groups)]

    wanted = validation_images(len(ids), validation_share)
    chosen = (_nearest_sum if once else _drawn)([len(members) for members in shuffled], wanted)
    validation = [image for index, members in enumerate(shuffled) if index in chosen for image in members]
    pool = [members for index, members in enumerate(shuffled) if index not in chosen]
    if len(validation) != wanted:
        notes.append(f"{len(validation)} validation images instead of {wanted} of {len(ids)}: patients are not divided")
    train, asked = _fraction(pool, fraction)
    if len(train) != max(asked, 1):
        notes.append(f"{len(train)} training images instead of {asked}: patients are not divided")
    elif asked < 1:
        notes.append(f"1 training image instead of {fraction * sum(map(len, pool)):g}: the least possible")
    return Split(_in_order(ids, train), _in_order(ids, validation), tuple(notes))


def validation_images(images: int, share: float) -> int:
    """How many of so many images validate, as near as whole patients allow."""
    return min(max(_rounded(share * images), 1), images - 1)


def training_images(pool: int, fraction: float) -> int:
    """How many of those left to train on a fraction means, as near as whole patients allow."""
    return max(_rounded(fraction * pool), 1)


def _fraction(pool: Sequence[Sequence[str]], fraction: float) -> tuple[list[str], int]:
    """Images of the first patients that come nearest to the fraction, at least one patient; and the number asked for.

    Of two equally near numbers the smaller one is taken.
    """
    sizes = np.cumsum([len(members) for members in pool])
    asked = _rounded(fraction * int(sizes[-1]))
    patients = int(np.argmin(np.abs(sizes - asked))) + 1
    return [image for members in pool[:patients] for image in members], asked


def _check(name: str, ids: Sequence[str], patients: Sequence[str], fraction: float, validation_share: float) -> None:
    if not 0 < fraction <= 1 or not 0 < validation_share < 1:
        found = f"fraction {fraction}, validation share {validation_share}"
        raise UsageError("not a possible split", found=found, expected="0 < fraction <= 1, 0 < share < 1")
    if len(ids) != len(patients) or len(set(ids)) != len(ids):
        raise UsageError("ids must be unique, with one patient each", found=f"{len(ids)} ids, {len(patients)} patients")
    if len(ids) < 2:
        raise InputError(
            f"dataset {name} has too few training images",
            found=len(ids),
            expected="at least 2: one to train and one to validate",
            remedy="annotate more images and prepare the dataset again",
        )


def _groups(ids: Sequence[str], patients: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(patient, sorted image ids), sorted: the starting point must not depend on the order given."""
    groups: dict[str, list[str]] = {}
    for image, patient in sorted(zip(ids, patients, strict=True)):
        groups.setdefault(patient, []).append(image)
    return sorted(groups.items())


def _shuffled(rng: np.random.Generator, items: Sequence[Item]) -> list[Item]:
    return [items[index] for index in rng.permutation(len(items))]


def _rounded(number: float) -> int:
    return math.floor(number + 0.5)


def _drawn(sizes: Sequence[int], wanted: int) -> set[int]:
    """Indices of those that, taken in this order, bring the sum nearer to `wanted`; if all of them leave it further off
    than the tolerance, those of the nearest sum. With groups of one it is the first `wanted` of them.
    """
    off, chosen, total = TOLERANCE * wanted, set(), 0
    for index, size in enumerate(sizes):
        if abs(total + size - wanted) < abs(total - wanted) and total + size <= wanted + off:
            chosen.add(index)
            total += size
    return chosen if abs(total - wanted) <= off and total < sum(sizes) else _nearest_sum(sizes, wanted)


def _nearest_sum(sizes: Sequence[int], wanted: int) -> set[int]:
    """Indices whose sizes sum up as near to `wanted` as possible, neither none nor all; earlier ones preferred.

    The sums are reached in the order of `sizes`, so with groups of one it is simply the first `wanted` of them. What
    leads away from `wanted` is not followed, which with thousands of groups would take seconds.
    """
    reached: dict[int, tuple[int, int]] = {0: (-1, 0)}  # sum -> (last index used, sum before it)
    for index, size in enumerate(sizes):
        if wanted in reached:  # nothing is nearer
            break
        for total in [total for total in reached if total < wanted and total + size not in reached]:
            reached[total + size] = (index, total)
    possible = [total for total in reached if 0 < total < sum(sizes)]
    total = min(possible, key=lambda total: (abs(total - wanted), total))
    chosen = set()
    while total:
        index, total = reached[total]
        chosen.add(index)
    return chosen


def _in_order(ids: Sequence[str], some: Sequence[str]) -> tuple[str, ...]:
    members = set(some)
    return tuple(image for image in ids if image in members)
