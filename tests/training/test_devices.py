"""Results do not depend on the number of devices.

In float64, where rounding cannot carry an activation past ReLU's corner; in float32 one that does, of millions, moves
the losses of a small net by 1e-5 to 1e-3 within 20 steps of Adam (docs/speed.md).
"""

import jax
import numpy as np

from jaxseg.config import ModelConfig
from jaxseg.input.feed import make_feed
from jaxseg.input.plan import Plan
from jaxseg.input.render import pack
from jaxseg.models.initial import initial
from jaxseg.training.mesh import make_mesh, replicated, sharded
from jaxseg.training.state import TrainState
from jaxseg.training.step import Statistics, make_steps

CONFIG, CROP, BATCH, IMAGES = ModelConfig(18, 1 / 16), 64, 4, 3


def losses(devices: int, dtype: str, count: int) -> np.ndarray:
    """Of the first steps, at a high learning rate."""
    wide = np.float64 if dtype == "float64" else np.float32
    draw, mesh = np.random.default_rng(0), make_mesh(BATCH, devices)
    pixels = draw.integers(0, 256, (IMAGES, 90, 90, 3), dtype=np.uint8)
    sizes = np.full((IMAGES, 2), 90, np.int32)
    feed = make_feed(pack(pixels, pixels[..., 0] // 128, sizes), CROP, replicated(mesh), sharded(mesh))
    state = TrainState.create(*jax.tree.map(wide, initial(CONFIG, None, ("devices",))))
    state = jax.device_put(state, replicated(mesh))
    batches = Plan(np.arange(IMAGES), sizes, BATCH, CROP, rotate=True, stream=("devices",)).iterate()
    statistics = Statistics(wide([0.5] * 3), wide([0.2] * 3))  # type: ignore[arg-type]
    result = []
    for _ in range(count):
        train = make_steps(CONFIG, CROP, dtype, mesh).train
        state, loss = train(state, *feed(next(batches)), statistics, wide(1e-3))  # type: ignore[arg-type]
        result.append(float(loss))
    return np.array(result)


def test_twenty_steps_in_float64() -> None:
    with jax.enable_x64(True):
        np.testing.assert_allclose(losses(2, "float64", 20), losses(1, "float64", 20), rtol=1e-12)


def test_the_first_steps_in_bfloat16() -> None:
    np.testing.assert_allclose(losses(2, "bfloat16", 3), losses(1, "bfloat16", 3), rtol=5e-3)
