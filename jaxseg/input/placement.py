"""Where crops lie: an image, a centre and a 2x2 matrix that holds rotation and flips."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jax import Array  # half a second, which counting windows and steps does not need


class Placement(NamedTuple):
    """B crops. The pixel at offset (dy, dx) from a crop's centre shows the image at `centre + matrix @ (dy, dx)`.

    Attributes:
        image: int32 (B,), number within the stack.
        centre: float32 (B, 2), row and column in pixels; pixel centres have whole coordinates.
        matrix: float32 (B, 2, 2).
    """

    image: "np.ndarray | Array"
    centre: "np.ndarray | Array"
    matrix: "np.ndarray | Array"


def upright(index: np.ndarray, corner: np.ndarray, crop: int) -> Placement:
    """Crops without rotation or flip whose first pixels lie at `corner`, (B, 2) whole numbers."""
    centre = np.asarray(corner, np.float32) + np.float32((crop - 1) / 2)
    matrix = np.broadcast_to(np.eye(2, dtype=np.float32), (len(index), 2, 2))
    return Placement(np.asarray(index, np.int32), centre, matrix)


def starts(length: int, crop: int, stride: int) -> list[int]:
    """First pixels of windows that cover 0..length-1: every `stride`, the last flush with the border."""
    if length <= crop:
        return [0]
    return [*range(0, length - crop, stride), length - crop]


def windows(sizes: np.ndarray, crop: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """All windows over images of `sizes` (N, 2): image numbers (K,) and corners (K, 2), both int32."""
    rows = [
        (number, top, left)
        for number, (height, width) in enumerate(sizes)
        for top in starts(int(height), crop, stride)
        for left in starts(int(width), crop, stride)
    ]
    table = np.array(rows, np.int32).reshape(-1, 3)
    return table[:, 0], table[:, 1:]
