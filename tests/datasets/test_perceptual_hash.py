"""Copies are found in spite of compression, size, colour and position; different images are not taken for copies."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from jaxseg.datasets import synthetic
from jaxseg.datasets.perceptual_hash import alike, perceptual_hash


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=50)
    with Image.open(stream) as image:
        return np.array(image)


def _half(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels)
    return np.array(image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC))


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the same": lambda pixels: pixels,
    "JPEG": _jpeg,
    "half the size": _half,
    "brighter": lambda pixels: np.clip(pixels * 1.1, 0, 255).astype(np.uint8),
    "stained": lambda pixels: np.clip(pixels * np.array([0.9, 1.1, 0.95]), 0, 255).astype(np.uint8),
    "without 3 % at two borders": lambda pixels: pixels[len(pixels) * 3 // 100 :, pixels.shape[1] * 3 // 100 :].copy(),
    "mirrored": lambda pixels: pixels[:, ::-1].copy(),
    "turned": lambda pixels: np.rot90(pixels).copy(),
    "turned and mirrored": lambda pixels: np.rot90(pixels, 3)[::-1].copy(),
}


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [example.read()[0] for name in ("glands_a", "nuclei_b") for example in _some(f"synthetic_{name}")]


def _some(name: str) -> list:
    return synthetic.examples(name)[::4]


@pytest.mark.parametrize("change", COPIES)
def test_copies_are_found_and_strangers_are_not(images: list[np.ndarray], change: str) -> None:
    originals = [perceptual_hash(image) for image in images]
    copies = [perceptual_hash(COPIES[change](image)) for image in images]
    assert sorted(alike(copies, originals)) == [(k, k) for k in range(len(images))]


def test_copies_among_hundreds_are_found() -> None:
    hashes = [np.random.default_rng(k).bytes(32).hex() for k in range(600)]
    assert list(alike(hashes, hashes[590:])) == [(590 + k, k) for k in range(10)]


def test_nothing_is_like_nothing(images: list[np.ndarray]) -> None:
    assert list(alike([], [perceptual_hash(images[0])])) == []
    assert list(alike([perceptual_hash(images[0])], [])) == []
