"""Results do not depend on the number of devices, nor on their kind.

In float64, where rounding cannot carry an activation past ReLU's corner, and in float32 with an activation that has
none; one that does, of millions, moves the losses of a small net by 1e-5 to 1e-3 within 20 steps (docs/speed.md).
"""

from collections.abc import Callable, Iterator

import jax
import numpy as np
import pytest

from jaxseg.compute import program
from jaxseg.config import ModelConfig
from jaxseg.input.feed import make_feed
from jaxseg.input.plan import CropPlan
from jaxseg.input.render import pack
from jaxseg.input.statistics import Statistics
from jaxseg.models import resnet, unet
from jaxseg.models.initial import initial
from jaxseg.training.mesh import make_mesh, replicated, sharded
from jaxseg.training.state import TrainState, fresh
from jaxseg.training.step import make_steps

CONFIG, CROP, BATCH, IMAGES = ModelConfig(18, 1 / 16), 64, 4, 3


def trained(
    devices: int, dtype: str, count: int, together: int = 1, rotate: bool = True
) -> tuple[TrainState, np.ndarray]:
    """State and losses after the first steps at a high learning rate; the last loss of each dispatch."""
    wide = np.float64 if dtype == "float64" else np.float32
    draw, mesh = np.random.default_rng(0), make_mesh(BATCH, devices)
    pixels = draw.integers(0, 256, (IMAGES, 90, 90, 3), dtype=np.uint8)
    sizes = np.full((IMAGES, 2), 90, np.int32)
    feed = make_feed(pack(pixels, pixels[..., 0] // 128, sizes), CROP, replicated(mesh), sharded(mesh))
    state = jax.device_get(fresh(*initial(CONFIG, None, ("devices",)), replicated(mesh)))
    state = jax.tree.map(lambda leaf: leaf.astype(wide) if leaf.dtype == np.float32 else leaf, state)
    state = jax.device_put(state, replicated(mesh))
    batches = CropPlan(np.arange(IMAGES), sizes, BATCH, CROP, rotate, stream=("devices",)).iterate()
    statistics = Statistics(wide([0.5] * 3), wide([0.2] * 3))
    train, result = make_steps(CONFIG, CROP, dtype, mesh).train, []
    for _ in range(0, count, together):
        some = feed.take(batches, together)
        former, (state, loss) = state, train(state, *some, statistics, wide(1e-3))  # type: ignore[arg-type]
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(former)), "a device may not have room for two"
        result.append(float(loss))
    return jax.device_get(state), np.array(result)


def losses(devices: int, dtype: str, count: int) -> np.ndarray:
    return trained(devices, dtype, count)[1]


def test_twenty_steps_in_float64() -> None:
    with jax.enable_x64(True):
        np.testing.assert_allclose(losses(2, "float64", 20), losses(1, "float64", 20), rtol=1e-12)


def mean_pool(x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


@pytest.fixture
def smooth(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SiLU for ReLU, the mean for the largest: gradients without jumps, which do not enlarge what rounding changed."""
    make_steps.cache_clear()
    for module in (resnet, unet):
        monkeypatch.setattr(module, "relu", jax.nn.silu)
    monkeypatch.setattr(resnet, "max_pool", mean_pool)
    folder = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)  # functions are kept there by this package's source
    yield
    jax.config.update("jax_compilation_cache_dir", folder)
    make_steps.cache_clear()


def test_twenty_steps_in_float32_where_gradients_do_not_jump(smooth: None) -> None:
    np.testing.assert_allclose(losses(2, "float32", 20), losses(1, "float32", 20), rtol=1e-5)


def test_the_compiler_is_told_which_function_computes_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {}

    def noted(function: Callable[..., object], *_: object, gradients: bool = False, **__: object) -> None:
        told[function.__name__] = gradients

    monkeypatch.setattr(program, "compiled", noted)
    make_steps.__wrapped__(CONFIG, CROP, "float32", make_mesh(BATCH, 1))
    assert told == {"train": True, "measure": False, "keep_best": False}


def test_the_first_steps_in_bfloat16() -> None:
    np.testing.assert_allclose(losses(2, "bfloat16", 3), losses(1, "bfloat16", 3), rtol=5e-3)


def test_bfloat16_takes_nearly_the_steps_of_float32() -> None:
    coarse, fine = losses(1, "bfloat16", 3), losses(1, "float32", 3)
    np.testing.assert_allclose(coarse, fine, rtol=2e-2)
    assert (coarse != fine).all()


def test_two_gpus_take_the_same_steps_as_a_cpu(request: pytest.FixtureRequest) -> None:
    with jax.enable_x64(True):
        expected, each = trained(1, "float64", 4, rotate=False)  # turned crops differ by the rounding of float32
        request.getfixturevalue("as_on_gpus")
        found, last = trained(2, "float64", 4, together=2, rotate=False)
    np.testing.assert_allclose(last, each[1::2], rtol=1e-10)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9 * max(1, np.abs(other).max()))


def test_several_steps_in_bfloat16_are_those_of_single_ones(as_on_gpus: None) -> None:
    single, each = trained(1, "bfloat16", 4)
    several, last = trained(1, "bfloat16", 4, together=4)
    np.testing.assert_allclose(last, each[-1:], rtol=2e-2)
    assert jax.tree.map(lambda leaf: leaf.dtype, several) == jax.tree.map(lambda leaf: leaf.dtype, single)
