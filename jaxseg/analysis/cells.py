"""Scores arranged for pairing: one cell per condition, a matrix of repeats × test images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


class Condition(NamedTuple):
    """What was trained and where it was tested; the repeats of one condition are interchangeable."""

    trained_on: str
    weights: str
    fraction: float
    budget: int
    tested_on: str


CONDITION = list(Condition._fields)


@dataclass(frozen=True)
class Cell:
    """Scores (R, I) of R repeats on I images; `patients` (I,) numbers the images' patients from 0."""

    scores: Matrix
    repeats: tuple[int, ...]
    images: tuple[str, ...]
    patients: NDArray[np.int64]

    @property
    def of_repeats(self) -> Matrix:
        """(R,) mean over images."""
        return cast(Matrix, self.scores.mean(axis=1))

    @property
    def of_images(self) -> Matrix:
        """(I,) mean over repeats."""
        return cast(Matrix, self.scores.mean(axis=0))

    @property
    def mean(self) -> float:
        return float(self.scores.mean())


Cells = Mapping[Condition, Cell]


def cells_of(scores: pd.DataFrame) -> dict[Condition, Cell]:
    """Arrange the Dice of a table of scores; images and repeats ascend in every cell."""
    cells = {}
    key: Any  # the stubs know only Hashable
    for key, rows in scores.groupby(CONDITION, sort=True):
        trained_on, weights, fraction, budget, tested_on = key
        condition = Condition(trained_on, weights, float(fraction), int(budget), tested_on)
        matrix = rows.pivot(index="repeat", columns="image", values="dice")
        patient = rows.drop_duplicates("image").set_index("image")["patient"].reindex(matrix.columns)
        cells[condition] = Cell(
            matrix.to_numpy(np.float64),
            tuple(int(repeat) for repeat in matrix.index),
            tuple(str(image) for image in matrix.columns),
            pd.factorize(patient)[0].astype(np.int64),
        )
    return cells


def on_shared_repeats(cells: Cells) -> dict[Condition, Cell]:
    """The cells, one at least, with the repeats that all of them have; empty where they share none."""
    shared = sorted(set.intersection(*(set(cell.repeats) for cell in cells.values())))
    if not shared:
        return {}
    return {
        condition: replace(cell, scores=cell.scores[np.isin(cell.repeats, shared)], repeats=tuple(shared))
        for condition, cell in cells.items()
    }


def difference(one: Cell, other: Cell) -> Cell | None:
    """`one` minus `other`, image by image, over the repeats that both have; None where they share none."""
    shared = tuple(sorted(set(one.repeats) & set(other.repeats)))
    if not shared or one.images != other.images:
        return None
    rows = [one.scores[one.repeats.index(r)] - other.scores[other.repeats.index(r)] for r in shared]
    return Cell(np.stack(rows), shared, one.images, one.patients)
