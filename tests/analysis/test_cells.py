"""Scores as matrices: each score where its repeat and image are, each patient with its images."""

import itertools

import numpy as np
import pandas as pd

from jaxseg.analysis.cells import CONDITION, cells_of

PATIENT = {"t1": "b", "t2": "a", "t10": "b", "t3": "c"}  # by image, in the order of a dataset; "t10" sorts before "t2"


def test_scores_and_patients_stand_with_their_image_whatever_the_order_of_rows() -> None:
    rows = [
        {"repeat": repeat, "image": image, "patient": PATIENT[image], "dice": repeat + 0.01 * number}
        for repeat, (number, image) in itertools.product((4, 0), enumerate(PATIENT))
    ]
    about = dict(zip(CONDITION, ("a", "random", 0.5, 10, "a"), strict=True))
    (cell,) = cells_of(pd.DataFrame([about | row for row in rows])).values()
    assert sorted(cell.images) == sorted(PATIENT)
    for row in rows:
        place = cell.repeats.index(row["repeat"]), cell.images.index(row["image"])
        assert cell.scores[place] == row["dice"]
    for (one, first), (other, second) in itertools.combinations(zip(cell.images, cell.patients, strict=True), 2):
        assert (first == second) == (PATIENT[one] == PATIENT[other])
    assert set(np.unique(cell.patients)) == {0, 1, 2}
