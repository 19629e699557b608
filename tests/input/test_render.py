"""The fused gather against scipy, and the device's way against the host's."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.input.feed import lies_on_devices, make_feed
from jaxseg.input.placement import Placement, upright, windows
from jaxseg.input.plan import CropPlan
from jaxseg.input.render import Stack, normalise, pack, render
from jaxseg.training.mesh import make_mesh, replicated, sharded

SIZES = np.array([[90, 120], [81, 70], [40, 50]], np.int32)
CROP = 64


def make_stack() -> tuple[np.ndarray, np.ndarray, Stack]:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)
    masks = draw.integers(0, 3, (3, 90, 120), dtype=np.uint8)
    return images, masks, pack(images, masks, SIZES)


def expected(image: np.ndarray, mask: np.ndarray, centre: np.ndarray, matrix: np.ndarray) -> tuple:
    offset = np.stack(np.meshgrid(*[np.arange(CROP) - (CROP - 1) / 2] * 2, indexing="ij"))
    where = np.einsum("ij,jyx->iyx", matrix.astype(float), offset) + centre[:, None, None]
    colours = [ndimage.map_coordinates(image[..., c].astype(float), where, order=1, mode="mirror") for c in range(3)]
    return np.stack(colours, -1), ndimage.map_coordinates(mask, where, order=0, mode="mirror")


def test_rotated_crops_are_those_of_scipy() -> None:
    images, masks, stack = make_stack()
    placement = CropPlan(np.arange(3), SIZES, 12, CROP, True, ("test",)).placement(0)
    crops, classes = render(stack, placement, CROP)
    for number, image in enumerate(placement.image):
        height, width = SIZES[image]
        colours, labels = expected(
            images[image, :height, :width],
            masks[image, :height, :width],
            placement.centre[number],
            placement.matrix[number],
        )
        np.testing.assert_allclose(crops[number], colours, atol=0.01)
        assert (np.asarray(classes[number]) != labels).mean() < 1e-3  # ties of rounding


def test_upright_crops_are_cut_exactly() -> None:
    images, masks, stack = make_stack()
    placement = upright(np.array([0, 1]), np.array([[3, 40], [17, 6]]), CROP)
    crops, classes = render(stack, placement, CROP)
    np.testing.assert_array_equal(crops[0], images[0, 3:67, 40:104])
    np.testing.assert_array_equal(classes[1], masks[1, 17:81, 6:70])


def test_what_lies_beyond_a_small_image_is_its_reflection_never_padding() -> None:
    images, _, stack = make_stack()
    crops, _ = render(stack, upright(np.array([2]), np.array([[0, 0]]), CROP), CROP)
    mirrored = np.pad(images[2, :40, :50], ((0, 24), (0, 14), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(crops[0], mirrored)


def test_host_and_device_give_the_same_crops() -> None:
    _, _, stack = make_stack()
    mesh = make_mesh(4)
    placement = CropPlan(np.arange(3), SIZES, 4, CROP, True, ("test",)).placement(5)
    host = make_feed(stack, CROP, replicated(mesh), sharded(mesh), "host")
    device = make_feed(stack, CROP, replicated(mesh), sharded(mesh), "device")
    crops, _ = host(placement)
    source, placed = device(placement)
    images, masks = jax.jit(render, static_argnums=2)(source, placed, CROP)
    np.testing.assert_allclose(crops.images, images, atol=1e-3)
    np.testing.assert_array_equal(crops.masks, masks)


@pytest.mark.parametrize(
    ("told", "height", "resident"),
    [
        ({"bytes_limit": 16 * 3 * 90 * 120}, 90, True),
        ({"bytes_limit": 16 * 3 * 90 * 120 - 1}, 90, False),
        ({}, (1 << 30) // 3 // 120, True),
        (None, (1 << 30) // 3 // 120 + 1, False),
    ],
)
def test_a_stack_lies_on_devices_where_it_takes_a_quarter_of_their_memory_at_most(
    told: dict[str, int] | None, height: int, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 4 bytes a pixel; of 4 GiB at most where they do not tell."""
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: told)])
    assert lies_on_devices((3, height, 120), "auto") == resident
    assert lies_on_devices((3, height, 120), "device")
    assert not lies_on_devices((3, height, 120), "host")


@pytest.mark.parametrize("crop", [CROP, 60, 33])
def test_cpus_and_accelerators_give_the_same_crops(crop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, stack = make_stack()
    placement = CropPlan(np.arange(3), SIZES, 4, crop, True, ("test",)).placement(1)
    images, masks = render(stack, placement, crop)
    monkeypatch.setattr("jaxseg.input.render.on_cpu", lambda: False)
    others, labels = render(stack, placement, crop)
    assert images.shape == (4, crop, crop, 3)
    np.testing.assert_allclose(images, others, atol=0.01)
    assert (np.asarray(masks) != np.asarray(labels)).mean() < 1e-3


def test_each_of_several_devices_cuts_its_own_crops() -> None:
    _, _, stack = make_stack()
    mesh = make_mesh(6, devices=2)
    placement = CropPlan(np.arange(3), SIZES, 6, CROP, True, ("test",)).placement(0)
    expected = render(stack, placement, CROP)
    shared = jax.device_put(placement, sharded(mesh))
    rendered = jax.jit(lambda stack, placement: render(stack, placement, CROP)).lower(stack, shared).compile()
    assert "f32[3,1,64,64,3]" in rendered.as_text(), "the loop of a device is over three of the six crops"
    assert "all-gather" not in rendered.as_text()
    for one, other in zip(rendered(stack, shared), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_image_of_one_pixel_fills_its_crops() -> None:
    stack = pack(np.full((1, 1, 1, 3), 7, np.uint8), np.full((1, 1, 1), 2, np.uint8), np.array([[1, 1]]))
    placement = CropPlan(np.zeros(1, np.int64), np.array([[1, 1]]), 2, CROP, True, ("test",)).placement(0)
    images, masks = render(stack, placement, CROP)
    assert np.unique(np.asarray(images)).tolist() == [7]
    assert np.unique(np.asarray(masks)).tolist() == [2]


def test_of_a_stack_too_large_to_be_counted_through_the_crops_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, stack = make_stack()
    placement = CropPlan(np.arange(3), SIZES, 4, CROP, True, ("test",)).placement(2)
    expected = render(stack, placement, CROP)
    monkeypatch.setattr("jaxseg.input.render.COUNTED", stack.pixels.size - 1)
    for one, other in zip(render(stack, placement, CROP), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 2), (9, 9)])
def test_the_last_pixel_of_the_last_image_is_shown(shape: tuple[int, int]) -> None:
    """Pixels are read in pairs, of which there is none that begins there."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    masks = pixels[..., 0] // 64
    stack = pack(pixels, masks, np.array([shape]))
    corner = np.array([[max(0, side - CROP) for side in shape]])
    images, classes = render(stack, upright(np.zeros(1, np.int32), corner, CROP), CROP)
    np.testing.assert_array_equal(images[0, : shape[0], : shape[1]], pixels[0])
    np.testing.assert_array_equal(classes[0, : shape[0], : shape[1]], masks[0])


@pytest.mark.parametrize(("size", "corners"), [((64, 64), [(0, 0)]), ((40, 100), [(0, 0), (0, 32), (0, 36)])])
def test_windows_cover_an_image_with_the_last_one_flush(size: tuple, corners: list) -> None:
    which, found = windows(np.array([size]), CROP, 32)
    assert [tuple(corner) for corner in found] == corners
    assert (which == 0).all()


def test_normalise_by_hand() -> None:
    values = normalise(np.full((1, 1, 1, 3), 255.0), np.array([0.5, 0.0, 1.0]), np.array([0.25, 0.5, 2.0]))
    np.testing.assert_allclose(np.ravel(values), [2, 2, 0])


def test_placement_rows_stay_together() -> None:
    placement = CropPlan(np.arange(3), SIZES, 5, CROP, True, ("test",)).placement(0)
    assert isinstance(placement, Placement)
    assert (placement.image.shape, placement.centre.shape, placement.matrix.shape) == ((5,), (5, 2), (5, 2, 2))
