"""Checks after reading: each oddity is said, and only that one."""

import dataclasses

import pytest

from jaxseg.datasets.card import Card, Row, fingerprint
from jaxseg.datasets.catalogue import describe
from jaxseg.datasets.checks import check_annotated, check_examples, not_apart, oddities, summary
from jaxseg.datasets.example import Example
from jaxseg.errors import InputError

ROWS = [
    Row("a", "train", "train", "p1", 10, 20, 3, 0.25, "00", "10"),
    Row("b", "train", "train", "p2", 12, 20, 1, 0.35, "01", "11"),
    Row("c", "test", "testA", "p3", 10, 20, 2, 0.5, "02", "12"),
]


def _changed(index: int, **values: object) -> list[Row]:
    return [dataclasses.replace(row, **values) if k == index else row for k, row in enumerate(ROWS)]


def test_ordinary_data_has_no_warnings() -> None:
    assert oddities(ROWS) == []


def test_each_oddity_is_said() -> None:
    assert oddities(_changed(1, objects=0, foreground=0.0)) == ["no foreground in 1 of 3 images: b"]
    assert oddities(_changed(1, foreground=0.99)) == ["nearly no background in 1 of 3 images: b"]
    assert oddities(_changed(1, objects=20, specks=10)) == []
    assert oddities(_changed(1, objects=20, specks=11)) == [  # however large the others are
        "most objects have less than 8 pixels in 1 of 3 images: b (was the mask smoothed, or saved with loss?)"
    ]
    assert oddities(_changed(2, pixels_sha256="00")) == ["1 image is equal to others pixel for pixel: c = a"]
    assert oddities(_changed(2, patient="p2")) == ["1 patient has images in train and in test: p2"]
    assert oddities(_changed(2, instances_sha256="10")) == ["1 mask is equal to that of another image: c = a"]


def test_classes_that_were_taken_for_objects_are_told() -> None:
    several = [dataclasses.replace(row, pieces=2 * row.objects) for row in ROWS]
    assert oddities([*several[:2], ROWS[2]]) == [
        "an object lies in several pieces in 2 of 3 annotated images: a, b "
        "(are the values classes? then prepare with --masks classes)"
    ]
    assert oddities([several[0], *ROWS[1:]]) == []  # in a few images, objects are cut in two at the border
    empty = [dataclasses.replace(row, objects=0, pieces=0) for row in ROWS]
    assert not any("pieces" in line for line in oddities(empty))


def test_equal_images_are_not_called_nearly_equal_besides() -> None:
    near = [dataclasses.replace(row, looks="0f" * 32) for row in (ROWS[0], ROWS[2])]
    assert oddities(near) == ["1 test image is nearly equal to training images: c ~ a"]
    equal = [dataclasses.replace(row, pixels_sha256="00") for row in near]
    assert oddities(equal) == ["1 image is equal to others pixel for pixel: c = a"]


def test_numbers_of_images_are_official_in_every_subset() -> None:
    subsets = ["train"] * 85 + ["testA"] * 59 + ["testB"] * 21  # 80 test images, as there should be
    examples = [
        Example(str(k), "train" if subset == "train" else "test", subset, str(k), read=lambda: pytest.fail("was read"))
        for k, subset in enumerate(subsets)
    ]
    wrong = ["59 images instead of 60 in subset testA", "21 images instead of 20 in subset testB"]
    with pytest.raises(InputError, match=f"differs from the official release(?s:.*){'; '.join(wrong)}"):
        check_examples(describe("glas"), examples, allow_incomplete=False)
    assert check_examples(describe("glas"), examples, allow_incomplete=True) == wrong


def test_equal_masks_are_ordinary_where_they_are_empty_or_full_or_of_equal_images() -> None:
    for mask in ({"objects": 0, "foreground": 0.0}, {"objects": 1, "foreground": 1.0}, {"pixels_sha256": "00"}):
        rows = [dataclasses.replace(row, instances_sha256="10", **mask) for row in ROWS]
        assert not any("mask is equal" in line or "masks are equal" in line for line in oddities(rows))


def test_a_large_image_among_small_ones_is_told() -> None:
    small = [
        dataclasses.replace(ROWS[0], id=f"s{k}", height=256, width=256, pixels_sha256=f"{k}", instances_sha256=f"s{k}")
        for k in range(16)
    ]
    large = dataclasses.replace(
        small[0], id="large", height=5000, width=4000, pixels_sha256="large", instances_sha256="large"
    )
    assert oddities([*small, large, ROWS[2]]) == [
        "17 train images are padded to 5000 x 4000 each, 1.4 GB in memory and more in training: "
        "cut large ones into tiles (large is 5000 x 4000)"
    ]
    assert oddities([*small[:11], large, ROWS[2]]) == []  # less than a gigabyte
    several = [
        dataclasses.replace(large, id=f"l{k}", pixels_sha256=f"l{k}", instances_sha256=f"l{k}") for k in range(6)
    ]
    assert oddities([*small, *several, ROWS[2]]) == []  # a quarter of the pixels are of images


def test_masks_that_tell_nothing_are_refused() -> None:
    empty = [dataclasses.replace(row, objects=0, foreground=0.0) for row in ROWS]
    full = [dataclasses.replace(row, foreground=1.0) for row in ROWS]
    with pytest.raises(InputError, match=r"(?s)masks of dataset glas are empty.*any of 3 images.*remedy"):
        check_annotated(describe("glas"), empty)
    with pytest.raises(InputError, match=r"(?s)masks of dataset glas have no background.*all 3 images.*remedy"):
        check_annotated(describe("glas"), full)
    for some in (empty, full):
        check_annotated(describe("glas"), [*some[:2], ROWS[2]])


def test_what_joins_test_images_to_training_images_is_said() -> None:
    assert not_apart(ROWS) == not_apart(_changed(1, objects=0, pixels_sha256="00")) == []
    assert not_apart(_changed(2, pixels_sha256="00")) == [
        "1 test image is equal to training images pixel for pixel: c = a"
    ]
    assert not_apart(_changed(2, patient="p2")) == ["1 patient has images in train and in test: p2"]


def test_fingerprint_changes_with_everything_that_counts() -> None:
    changes = [{"id": "x"}, {"split": "test"}, {"subset": "x"}, {"patient": "x"}]
    changes += [{"pixels_sha256": "x"}, {"instances_sha256": "x"}]
    prints = {fingerprint("glands", _changed(0, **change)) for change in [{}, *changes]}
    assert len(prints | {fingerprint("nuclei", ROWS), fingerprint("glands", ROWS, ("a", "b"))}) == 9


def test_summary_shows_numbers_and_warnings() -> None:
    other = Row("d", "test", "testB", "p4", 30, 40, 7, 0.1, "03", "13")
    card = Card("x", "X", "glands", "", "", True, "f" * 64, {}, ("odd",), (*ROWS, other))
    text = summary(card)
    assert "train: 2 images, 2 patients, height 10 … 12, width 20, 4 objects, foreground 0.300" in text
    assert "test (testA): 1 image, 1 patient, height 10, width 20, 2 objects, foreground 0.500" in text
    assert "test (testB): 1 image, 1 patient, height 30, width 40, 7 objects, foreground 0.100" in text
    alone = summary(dataclasses.replace(card, images=tuple(_changed(0, patient=ROWS[0].id)[:1])))
    assert "train: 1 image, each taken for a patient, height" in alone
    assert "warning: odd" in text
