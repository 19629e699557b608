"""Images and masks to measure with: NumPy noise of the right shapes, equal in all processes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def images(sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """RGB noise, uint8 (height, width, 3)."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def stack(count: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels uint8 (N, side, side, 3), masks uint8 (N, side, side) of 0 and 1, sizes int32 (N, 2)."""
    pixels = np.stack(images([(side, side)] * count))
    masks = (pixels[..., 0] > 127).astype(np.uint8)
    return pixels, masks, np.full((count, 2), side, np.int32)


def checkpoint(file: Path, depth: int, width: float) -> None:
    """A file in torchvision's layout with its classifier, random values."""
    import torch

    from benchmarks.peer_model import ResNet

    torch.manual_seed(0)
    torch.save(ResNet(depth, round(64 * width), classes=1000).state_dict(), file)
