"""What is taken for an object, and what for a speck."""

import numpy as np

from jaxseg.datasets.regions import pieces, specks


def test_objects_of_less_than_eight_pixels_are_specks() -> None:
    objects = np.zeros((5, 9), np.int32)
    for number, pixels in ((1, 1), (2, 7), (703, 8), (9, 9)):
        objects[number % 5, :pixels] = number
    assert specks(objects) == 2
    assert specks(np.zeros((5, 9), np.int32)) == 0


def test_an_object_in_two_places_is_two_pieces() -> None:
    objects = np.zeros((5, 9), np.int32)
    objects[0, :4] = objects[4, :4] = 3
    objects[0, 4:] = 7  # beside the first, without a gap
    objects[1, 3] = 7  # touches the rest of its object at a corner alone
    assert pieces(objects) == 4
    assert pieces(np.zeros((5, 9), np.int32)) == 0
