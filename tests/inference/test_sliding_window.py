"""The windows' mean against a loop over windows, one at a time, in NumPy."""

import contextlib
import dataclasses
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from jaxseg.config import ModelConfig
from jaxseg.errors import UsageError
from jaxseg.inference import sliding_window
from jaxseg.inference.sliding_window import SlidingWindow, batch_size, for_inference, in_groups, padded_stack
from jaxseg.input.statistics import Statistics
from jaxseg.models.initial import initial
from jaxseg.models.unet import network

CROP, STRIDE = 64, 32
MODEL = ModelConfig(depth=18, width=1 / 16)
STATISTICS = Statistics(np.array([0.7, 0.5, 0.6], np.float32), np.array([0.2, 0.25, 0.2], np.float32))
SIZES = [(64, 64), (100, 81), (40, 130), (65, 96)]


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def corners(length: int) -> list[int]:
    found = [start for start in range(0, length, STRIDE) if start + CROP <= length] or [0]
    return found if length <= CROP or found[-1] + CROP == length else [*found, length - CROP]


def one_by_one(image: np.ndarray, params: dict, stats: dict) -> np.ndarray:
    height, width = image.shape[:2]
    short = [(0, max(CROP - side, 0)) for side in (height, width)]
    padded = np.pad(image, (*short, (0, 0)), mode="reflect").astype(np.float32)
    total, count = (np.zeros(padded.shape[:2]) for _ in range(2))
    apply = jax.jit(lambda x: network(MODEL).apply(params, stats, x, train=False)[0][0])
    for top in corners(height):
        for left in corners(width):
            place = np.s_[top : top + CROP, left : left + CROP]
            inputs = (padded[place] / 255 - STATISTICS.mean) / STATISTICS.std
            logits = np.asarray(apply(inputs[None].astype(np.float32)))[0, ..., 0]
            total[place] += 1 / (1 + np.exp(-logits.astype(np.float64)))
            count[place] += 1
    return (total / count)[:height, :width]


def test_any_size_is_the_mean_of_its_windows(images: list[np.ndarray]) -> None:
    params, stats = initial(MODEL, None, ("window",))
    window, ready = SlidingWindow(MODEL, CROP, STRIDE), for_inference(params, stats, "auto")
    found = list(window(ready, in_groups(*padded_stack(images), CROP), STATISTICS))
    for image, probability in zip(images, found, strict=True):
        assert probability.shape == (*image.shape[:2], 1)
        np.testing.assert_allclose(probability[..., 0], one_by_one(image, params, stats), atol=1e-5)


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Names of what is compiled within the block."""
    compiled: list[str] = []

    def listen(event: str, duration_secs: float, **about: str | int) -> None:
        if "backend_compile" in event:
            compiled.append(str(about["fun_name"]))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_images_of_other_sizes_compile_nothing(images: list[np.ndarray]) -> None:
    ready = for_inference(*initial(MODEL, None, ("window",)), "auto")
    window, (padded, sizes) = SlidingWindow(MODEL, CROP, STRIDE), padded_stack(images)
    list(window(ready, in_groups(padded, sizes, CROP), STATISTICS))
    with compilations() as compiled:
        jax.jit(lambda x: x + 1)(np.ones(3))
    assert compiled, "what is compiled is seen"
    with compilations() as compiled:
        smaller = sizes - [[0, 0], [2, 1], [9, 1], [0, 0]]
        list(window(ready, in_groups(padded, smaller, CROP), STATISTICS))
        list(window(ready, in_groups(padded[:, :98, :129], smaller, CROP), STATISTICS))
    assert not compiled


def test_a_group_of_another_size_compiles_no_network(images: list[np.ndarray]) -> None:
    ready = for_inference(*initial(MODEL, None, ("window",)), "auto")
    window = SlidingWindow(MODEL, CROP, STRIDE)
    (before,) = window(ready, in_groups(*padded_stack([images[1][:96, :64]]), CROP), STATISTICS)
    with compilations() as compiled:  # two windows again
        (after,) = window(ready, in_groups(*padded_stack([images[1][:64, :81]]), CROP), STATISTICS)
    assert set(compiled) <= {"jit(_added)", "jit(_cut)", "jit(_mean)", "jit(broadcast_in_dim)"}
    assert len(compiled) == len(set(compiled)), "each at most once: another test may have had some already"
    np.testing.assert_allclose(after[:32, :17], before[:32, :17], atol=1e-6)  # the first window of both alone


def test_classes_are_the_likeliest(images: list[np.ndarray]) -> None:
    config = dataclasses.replace(MODEL, classes=3)
    ready = for_inference(*initial(config, None, ("window",)), "auto")
    window = SlidingWindow(config, CROP, STRIDE)
    likely = window(ready, in_groups(*padded_stack(images), CROP), STATISTICS)
    for probabilities, found in zip(
        likely, window.classes(ready, in_groups(*padded_stack(images), CROP), STATISTICS), strict=True
    ):
        all_four = np.dstack([1 - probabilities.sum(-1), probabilities])
        assert found.dtype == np.uint8
        assert (found == all_four.argmax(-1)).mean() > 0.999  # ties of rounding
        assert len(np.unique(found)) > 1


def test_accelerators_compute_full_batches_alone(images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    ready = for_inference(*initial(MODEL, None, ("window",)), "auto")
    window = SlidingWindow(MODEL, CROP, STRIDE)
    expected = list(window(ready, in_groups(*padded_stack(images), CROP), STATISTICS))
    monkeypatch.setattr("jaxseg.inference.sliding_window.on_cpu", lambda: False)
    assert {batch_size(windows) for windows in (1, 9, 17, 100)} == {16}
    for one, other in zip(window(ready, in_groups(*padded_stack(images), CROP), STATISTICS), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_bfloat16_gives_nearly_the_same(images: list[np.ndarray]) -> None:
    start = initial(MODEL, None, ("window",))

    def predicted(dtype: str) -> np.ndarray:
        window = SlidingWindow(MODEL, CROP, STRIDE, dtype)
        return next(window(for_inference(*start, dtype), in_groups(*padded_stack(images[:1]), CROP), STATISTICS))

    fine, coarse = predicted("float32"), predicted("bfloat16")
    assert 0 < np.abs(coarse - fine).max() < 2e-2


def test_groups_of_images_give_the_same(images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    ready = for_inference(*initial(MODEL, None, ("window",)), "auto")
    window = SlidingWindow(MODEL, CROP, STRIDE)
    together = list(window(ready, in_groups(*padded_stack(images), CROP), STATISTICS))
    monkeypatch.setattr("jaxseg.inference.sliding_window.GROUP_PIXELS", 1)
    for one, other in zip(together, window(ready, in_groups(*padded_stack(images), CROP), STATISTICS), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_batches_are_handed_over_one_at_a_time(images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    # or a CPU carries out several at once, each with memory of its own
    seen: list[str] = []
    for name in ("_added", "one_at_a_time"):
        function = getattr(sliding_window, name)
        monkeypatch.setattr(
            sliding_window,
            name,
            lambda *arguments, name=name, function=function: seen.append(name) or function(*arguments),
        )
    monkeypatch.setattr(sliding_window, "BATCH", 4)
    ready = for_inference(*initial(MODEL, None, ("window",)), "auto")
    list(SlidingWindow(MODEL, CROP, STRIDE)(ready, in_groups(*padded_stack(images), CROP), STATISTICS))
    assert len(seen) > 2
    assert seen == ["_added", "one_at_a_time"] * (len(seen) // 2)


@pytest.mark.parametrize(("windows", "batch"), [(1, 1), (9, 9), (16, 16), (17, 9), (49, 13), (1920, 16)])
def test_batches_waste_little(windows: int, batch: int) -> None:
    assert batch_size(windows) == batch


@pytest.mark.parametrize("stride", [-8, 0, CROP + 1])
def test_windows_that_would_leave_out_pixels_are_refused(stride: int) -> None:
    with pytest.raises(UsageError, match=f"stride {stride}\n.*1 … {CROP}"):
        SlidingWindow(MODEL, CROP, stride)
