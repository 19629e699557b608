"""What a prepared dataset says of itself, whole and damaged."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from jaxseg.datasets.card import FILE_NAME, Card, Row, digest, fingerprint
from jaxseg.errors import InputError

ROWS = (
    Row("a", "train", "train", "p1", 10, 20, 3, 0.25, "00", "10"),
    Row("b", "test", "testA", "p2", 12, 20, 1, 0.35, "01", "11"),
)
CARD = Card("x", "X", "glands", "", "", True, fingerprint("glands", ROWS, ("a", "b")), {}, ("odd",), ROWS, ("a", "b"))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    CARD.write(tmp_path)
    assert Card.read(tmp_path) == CARD


def test_digests_tell_shapes_apart_and_not_how_arrays_lie() -> None:
    values = np.arange(6, dtype=np.uint8)
    assert len({digest(values.reshape(shape)) for shape in ((2, 3), (3, 2), (6, 1))}) == 3
    assert digest(np.asfortranarray(values.reshape(2, 3))) == digest(values.reshape(2, 3))


@pytest.mark.parametrize("field", ["id", "split", "subset", "patient", "pixels_sha256", "instances_sha256"])
def test_an_image_that_does_not_belong_to_the_fingerprint(tmp_path: Path, field: str) -> None:
    changed = dataclasses.asdict(CARD)
    changed["images"][1][field] = "p1"
    (tmp_path / FILE_NAME).write_text(json.dumps(changed))
    with pytest.raises(InputError, match=r"the fingerprint of its images is(.|\n)*prepare the dataset again"):
        Card.read(tmp_path)
