"""The image that receipts keep activations on, and what they keep of them."""

import hashlib

import numpy as np

from jaxseg.models import golden


def test_the_image_is_the_one_that_receipts_were_written_with() -> None:
    """With another one all weights that were converted before would be found damaged."""
    image = golden.image()
    assert (image.shape, image.dtype) == ((1, 64, 64, 3), np.float32)
    assert hashlib.sha256(image.tobytes()).hexdigest().startswith("3b43f3c829352a85")
    assert -2 <= image.min() < -1.99
    assert 1.99 < image.max() < 2


def test_of_a_map_the_largest_magnitude_and_eight_values_are_kept() -> None:
    values = np.arange(15, dtype=np.float32)
    values[3] = -20
    assert golden.samples({"stem": values.reshape(1, 3, 5, 1)}) == {"stem": [20, 0, 2, 4, 6, 8, 10, 12, 14]}
