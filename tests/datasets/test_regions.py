"""What is taken for an object, and what for a speck."""

import numpy as np

from jaxseg.datasets.regions import specks


def test_objects_of_less_than_eight_pixels_are_specks() -> None:
    objects = np.zeros((5, 9), np.int32)
    for number, pixels in ((1, 1), (2, 7), (703, 8), (9, 9)):
        objects[number % 5, :pixels] = number
    assert specks(objects) == 2
    assert specks(np.zeros((5, 9), np.int32)) == 0
