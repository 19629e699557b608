"""Splits: by patient, nested, paired over weights, as near the asked sizes as patients allow."""

import itertools

import numpy as np
import pytest

from jaxseg.datasets import split
from jaxseg.errors import InputError, UsageError

TNBC_TRAINING = {"01": 7, "03": 5, "04": 8, "05": 4, "06": 3, "07": 3, "08": 4}


def _images(sizes: dict[str, int]) -> tuple[list[str], list[str]]:
    pairs = [(f"{patient}_{k}", patient) for patient, size in sizes.items() for k in range(size)]
    return [image for image, _ in pairs], [patient for _, patient in pairs]


def _random_sizes(rng: np.random.Generator) -> dict[str, int]:
    largest = int(rng.choice([1, 3, 12]))
    return {f"p{k}": int(rng.integers(1, largest + 1)) for k in range(int(rng.integers(2, 14)))}


def _nearest_sum_by_trying_all(sizes: list[int], wanted: int) -> int:
    sums = {sum(some) for count in range(1, len(sizes)) for some in itertools.combinations(sizes, count)}
    return min(sums, key=lambda total: (abs(total - wanted), total))  # of two equally near ones the smaller


@pytest.mark.parametrize("trial", range(60))
def test_properties_hold_for_random_datasets(trial: int) -> None:
    rng = np.random.default_rng(trial)
    sizes, share = _random_sizes(rng), float(rng.choice([0.1, 0.2, 0.35, 0.5]))
    ids, patients = _images(sizes)
    patient_of = dict(zip(ids, patients, strict=True))
    name, repeat = f"set{trial}", int(rng.integers(0, 1000))
    splits = [split(name, ids, patients, repeat, f, share) for f in sorted(rng.uniform(0.01, 1, 4))]
    whole = split(name, ids, patients, repeat, 1.0, share)

    assert sorted(whole.train + whole.validation) == sorted(ids)
    assert {patient_of[i] for i in whole.train}.isdisjoint(patient_of[i] for i in whole.validation)
    wanted = min(max(int(share * len(ids) + 0.5), 1), len(ids) - 1)
    nearest = _nearest_sum_by_trying_all(list(sizes.values()), wanted)
    assert len(whole.validation) == nearest or abs(len(whole.validation) - wanted) <= wanted / 3
    if len(set(sizes.values())) == 1:
        assert len(whole.validation) == nearest
    assert len(split(name, ids, patients, 0, 1.0, share, once=True).validation) == nearest
    assert (len(whole.validation) != wanted) == any("validation images instead of" in note for note in whole.notes)
    for small, large in itertools.pairwise([*splits, whole]):
        assert set(small.train) <= set(large.train)
        assert small.validation == large.validation
        assert len(small.train) >= 1


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_sizes_of_fractions_are_what_was_asked_for(fraction: float) -> None:
    ids = [f"train_{k}" for k in range(1, 86)]  # GlaS, patients unknown
    parts = split("glas", ids, ids, 0, fraction, 0.2)
    assert len(parts.validation) == 17
    assert len(parts.train) == int(68 * fraction + 0.5)
    assert parts.notes == ()


DATASETS = {  # training images per patient, as the official releases have them
    "glas": {f"train_{k}": 1 for k in range(1, 86)},
    "glas_with_grades": {f"p{k}": 5 + k % 4 for k in range(13)},
    "crag": {f"train_{k}": 1 for k in range(1, 174)},
    "kumar": {f"TCGA-{k}": 1 for k in range(16)},
    "cpm17": {f"train_image_{k:02}": 1 for k in range(32)},
    "tnbc": TNBC_TRAINING,
    "synthetic_glands_a": {f"train_{k}": 6 for k in range(4)},
    "mylab": {"big": 40, "small": 1, "middle": 9},
}


@pytest.mark.parametrize("name", DATASETS)
def test_a_thousand_splits_of_every_dataset(name: str) -> None:
    """Nested, disjoint, patient-pure on both sides and in every fraction, sizes within one patient of the target."""
    sizes = DATASETS[name]
    ids, patients = _images(sizes)
    patient_of = dict(zip(ids, patients, strict=True))
    rng = np.random.default_rng(17)
    for repeat in rng.choice(10**6, 250, replace=False).tolist():
        fractions = sorted(rng.uniform(0.005, 1, 4))
        drawn = [split(name, ids, patients, repeat, fraction, 0.2) for fraction in fractions]
        whole = split(name, ids, patients, repeat, 1.0, 0.2)
        assert sorted(whole.train + whole.validation) == sorted(ids)
        assert abs(len(whole.validation) - 0.2 * len(ids)) <= max(sizes.values())
        for fraction, part, larger in zip(fractions, drawn, [*drawn[1:], whole], strict=True):
            assert part == split(name, ids, patients, repeat, fraction, 0.2)  # nothing else decides, so no weights do
            assert part.validation == whole.validation
            assert set(part.train) <= set(larger.train)
            taken = {patient_of[image] for image in part.train}
            assert taken.isdisjoint(patient_of[image] for image in part.validation)
            assert len(part.train) == sum(sizes[patient] for patient in taken) > 0
            asked = fraction * len(whole.train)
            assert abs(len(part.train) - asked) <= max(sizes.values())
            said = any("training image" in note for note in part.notes)
            assert said == (len(part.train) != int(asked + 0.5))


@pytest.mark.parametrize("repeat", range(8))
def test_a_fraction_is_the_nearest_that_whole_patients_allow(repeat: int) -> None:
    ids, patients = _images(TNBC_TRAINING)
    whole = len(split("tnbc", ids, patients, repeat, 1.0, 0.2).train)
    taken = {k: len(split("tnbc", ids, patients, repeat, k / whole, 0.2).train) for k in range(1, whole + 1)}
    possible = set(taken.values())
    assert len(possible) > 3
    assert taken == {asked: min(possible, key=lambda size: (abs(size - asked), size)) for asked in taken}


def test_order_of_the_images_does_not_matter_and_is_kept() -> None:
    ids, patients = _images(TNBC_TRAINING)
    there = split("tnbc", ids, patients, 3, 0.4, 0.2)
    back = split("tnbc", ids[::-1], patients[::-1], 3, 0.4, 0.2)
    assert there.train == back.train[::-1]
    assert there.validation == back.validation[::-1]
    assert list(there.train) == [image for image in ids if image in there.train]


def test_repeats_and_datasets_differ() -> None:
    ids = [f"i{k}" for k in range(40)]
    drawn = {split(name, ids, ids, repeat, 0.5, 0.2).train for name in ("x", "y") for repeat in range(5)}
    assert len(drawn) == 10


def test_every_image_is_validated_about_equally_often() -> None:
    ids = [f"i{k}" for k in range(10)]
    count = dict.fromkeys(ids, 0)
    for repeat in range(500):
        for image in split("x", ids, ids, repeat, 1.0, 0.2).validation:
            count[image] += 1
    assert all(abs(times - 100) < 40 for times in count.values())  # binomial, sd 9


@pytest.mark.parametrize("sizes", [(6, 3, 5, 8, 4, 3), tuple(TNBC_TRAINING.values()), (9, 2, 4, 1, 1, 7, 3, 5, 6)])
def test_every_patient_validates_whatever_number_of_images_it_has(sizes: tuple[int, ...]) -> None:
    """Of the nearest sums alone, three of the first six patients would never, and two of TNBC's seven."""
    ids, patients = _images({f"p{k}": size for k, size in enumerate(sizes)})
    patient_of = dict(zip(ids, patients, strict=True))
    drawn = [frozenset(patient_of[i] for i in split("x", ids, patients, n, 1.0, 0.2).validation) for n in range(300)]
    times = {patient: sum(patient in some for some in drawn) for patient in patients}
    assert min(times.values()) > 15, times
    assert len(set(drawn)) >= len(sizes)
    assert max(map(drawn.count, set(drawn))) < 150


def test_one_patient_only_is_divided_and_said() -> None:
    ids = ["a", "b", "c", "d", "e"]
    parts = split("x", ids, ["p"] * 5, 0, 1.0, 0.2)
    assert (len(parts.train), len(parts.validation)) == (4, 1)
    assert "one patient (p)" in parts.notes[0]


def test_least_fraction_is_one_image_and_said() -> None:
    ids = ["a", "b", "c"]
    parts = split("x", ids, ids, 0, 0.01, 0.2)
    assert len(parts.train) == 1
    assert "the least possible" in parts.notes[0]


def test_one_image_is_left_to_train_whatever_the_share() -> None:
    ids = ["a", "b", "c"]
    parts = split("x", ids, ids, 0, 1.0, 0.95)
    assert (len(parts.train), len(parts.validation), parts.notes) == (1, 2, ())


def test_one_image_cannot_be_split() -> None:
    with pytest.raises(InputError, match="at least 2"):
        split("x", ["a"], ["a"], 0, 1.0, 0.2)


@pytest.mark.parametrize(("fraction", "share"), [(0, 0.2), (1.1, 0.2), (1, 0), (1, 1)])
def test_impossible_shares_are_refused(fraction: float, share: float) -> None:
    with pytest.raises(UsageError, match="not a possible split"):
        split("x", ["a", "b"], ["a", "b"], 0, fraction, share)


def test_ids_must_be_unique() -> None:
    with pytest.raises(UsageError, match="unique"):
        split("x", ["a", "a"], ["p", "q"], 0, 1.0, 0.2)
