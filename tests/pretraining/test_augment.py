"""Colours stay in range, differ from image to image, and each part of the augmentation does what its name says."""

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage
from skimage.color import rgb_from_hed

from jaxseg.pretraining import augment
from jaxseg.pretraining.augment import Augmentation

KEY = 5
NONE = Augmentation(0, 0, 0, 0)


def tissue(count: int = 6) -> np.ndarray:
    draw = np.random.default_rng(1)
    tint = np.array([200, 120, 180]) + draw.normal(0, 30, (count, 24, 20, 3))
    return np.clip(tint, 0, 255).astype(np.float32)


def key(number: int = KEY) -> jax.Array:
    return jax.random.key(number)


@pytest.mark.parametrize("pixels", [tissue(), np.zeros((2, 16, 16, 3), np.float32), np.full((2, 16, 16, 3), 255.0)])
def test_the_strongest_augmentation_keeps_shape_and_range(pixels: np.ndarray) -> None:
    found = np.asarray(augment.augment(pixels.astype(np.float32), key(), Augmentation(0.9, 0.9, 0.5, 1)))
    assert found.shape == pixels.shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 255


def test_strength_nought_changes_nothing() -> None:
    np.testing.assert_allclose(augment.augment(tissue(), key(), NONE), tissue(), atol=0.02)


def test_every_image_and_every_key_gives_other_colours() -> None:
    pixels = np.repeat(tissue(1), 4, axis=0)
    strength = Augmentation(0.1, 0.3, 0, 0)
    found = np.asarray(augment.augment(pixels, key(), strength)).mean((1, 2))
    assert len({tuple(np.round(colour)) for colour in found}) == 4
    other = np.asarray(augment.augment(pixels, key(KEY + 1), strength)).mean((1, 2))
    assert not np.allclose(found, other)
    again = np.asarray(augment.augment(pixels, key(), strength)).mean((1, 2))
    np.testing.assert_array_equal(found, again)


def test_stains_change_in_proportion_in_optical_density() -> None:
    """What changes lies in the plane of dyes, not pixel by pixel: densities are related by one affine map an image."""
    pixels = tissue(1)
    found = np.asarray(augment.restained(pixels, key(), 0.1))
    before, after = (-np.log((x.reshape(-1, 3) + 1) / 256) for x in (pixels, found))
    kept = (found.reshape(-1, 3) > 1).all(1) & (found.reshape(-1, 3) < 254).all(1)
    design = np.c_[before, np.ones(len(before))][kept]
    solution, *_ = np.linalg.lstsq(design, after[kept], rcond=None)
    assert np.abs(design @ solution - after[kept]).max() < 1e-3
    assert np.abs(np.linalg.eigvals(solution[:3]) - 1).max() < 0.11
    assert np.abs(found - pixels).max() > 1


def test_stains_change_as_far_as_asked_and_each_dye_by_itself() -> None:
    """The map of densities, in scikit-image's matrix of the same dyes: a factor for each, and a shift."""
    dyes = rgb_from_hed / np.linalg.norm(rgb_from_hed, axis=1, keepdims=True)
    pixels = np.repeat(tissue(1)[:, :8, :8] / 3 + 60, 60, axis=0)
    found = np.asarray(augment.restained(pixels, key(), 0.1))
    design = np.c_[-np.log((pixels[0].reshape(-1, 3) + 1) / 256), np.ones(64)]
    maps = [np.linalg.lstsq(design, -np.log((x.reshape(-1, 3) + 1) / 256), rcond=None)[0] for x in found]
    factors = np.array([dyes @ each[:3] @ np.linalg.inv(dyes) for each in maps])
    own = np.diagonal(factors, axis1=1, axis2=2)
    np.testing.assert_allclose(factors, own[:, None] * np.eye(3), atol=2e-3)
    shifts = np.array([each[3] @ np.linalg.inv(dyes) for each in maps])
    for values, reach in ((own - 1, 0.1), (shifts, 0.05)):
        assert np.abs(values).max() < 1.02 * reach
        assert (values.min(0) < -0.8 * reach).all()
        assert (values.max(0) > 0.8 * reach).all()


def test_light_changes_as_pillow_changes_brightness_contrast_and_saturation() -> None:
    pixels = np.rint((tissue(24) / 5 + 70) * np.linspace(0.7, 1.2, 24)[:, None, None, None]).astype(np.float32)
    found = np.asarray(augment.relit(pixels, key(), 0.3))
    factors = []
    for before, after in zip(pixels, found, strict=True):
        design = np.c_[before.reshape(-1, 3), np.ones(before[..., 0].size)]
        *matrix, offset = np.linalg.lstsq(design, after.reshape(-1, 3), rcond=None)[0]
        both = np.sum(matrix, axis=0).mean()  # brightness times contrast: what greys are multiplied with
        image = Image.fromarray(before.astype(np.uint8))
        grey = np.asarray(image.convert("L")).mean()
        brightness, saturation = both + offset.mean() / grey, (np.trace(matrix) / both - 1) / 2
        factors.append((brightness, both / brightness, saturation))
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, factor in zip(kinds, factors[-1], strict=True):
            image = kind(image).enhance(factor)
        np.testing.assert_allclose(after, np.asarray(image), atol=3)
    assert np.abs(np.array(factors) - 1).max() < 0.31
    assert (np.min(factors, axis=0) < 0.8).all()
    assert (np.max(factors, axis=0) > 1.2).all()
    assert np.abs(np.corrcoef(np.transpose(factors)) - np.eye(3)).max() < 0.7


@pytest.mark.parametrize("part", Augmentation._fields)
def test_each_part_is_done_as_far_as_its_own_strength_says(part: str) -> None:
    found = np.asarray(augment.augment(tissue(), key(), NONE._replace(**{part: 0.9})))
    assert np.abs(found - tissue()).max() > 1
    assert (found == found[..., :1]).all((1, 2, 3)).any() == (part == "grey")
    tints = [x.mean((1, 2)) for x in (found, tissue())]
    assert np.allclose(*tints, atol=4) == (part == "blur")


def test_greyed_images_are_their_luminance() -> None:
    found = np.asarray(augment.greyed(tissue(), key(), 1.0))
    assert (found == found[..., :1]).all()
    expected = [np.asarray(Image.fromarray(x.astype(np.uint8)).convert("L")) for x in tissue()]
    np.testing.assert_allclose(found[..., 0], expected, atol=1.6)  # rounded before and after
    share = np.asarray(augment.greyed(np.repeat(tissue(1)[:, :2, :2], 2000, 0), key(), 0.2))
    assert (share == share[..., :1]).all((1, 2, 3)).mean() == pytest.approx(0.2, abs=0.03)


def test_blur_lies_between_the_image_and_a_gaussian_of_it() -> None:
    pixels = tissue(3)
    blurred = np.stack([ndimage.gaussian_filter(x, (2, 2, 0), mode="mirror", radius=(4, 4, 0)) for x in pixels])
    found = np.asarray(augment.defocused(pixels, key(), 1.0))
    amount = ((found - pixels) * (blurred - pixels)).sum((1, 2, 3)) / np.square(blurred - pixels).sum((1, 2, 3))
    assert ((amount > 0) & (amount < 1)).all()
    assert np.ptp(amount) > 0.05
    np.testing.assert_allclose(found, pixels + amount[:, None, None, None] * (blurred - pixels), atol=0.02)
