"""Steps of Adam against PyTorch's, and which parameters are kept as the best."""

import jax.numpy as jnp
import numpy as np
import torch

from jaxseg.training.packing import Packed
from jaxseg.training.state import TrainState

SHAPES = {"kernel": (1, 1, 2, 3), "scale": (4,)}


def drawn(draw: np.random.Generator) -> dict[str, np.ndarray]:
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def begun(params: dict[str, np.ndarray]) -> TrainState:
    return TrainState.create(Packed.of(params), Packed.of({"mean": np.zeros(2, np.float32)}))


def test_steps_of_adam_are_those_of_pytorch() -> None:
    draw = np.random.default_rng(0)
    params = drawn(draw)
    theirs = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in params.items()}
    optimiser = torch.optim.Adam(theirs.values(), lr=0.01)
    state = begun(params)
    for _ in range(20):
        gradient = drawn(draw)
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(gradient[name])
        optimiser.step()
        state = state.apply_gradients(Packed.of(gradient), state.stats, jnp.float32(0.5), jnp.float32(0.01))
    for name, found in state.params.tree().items():
        np.testing.assert_allclose(found, theirs[name].detach().numpy(), rtol=1e-5, atol=1e-6)
    assert (int(state.step), float(state.loss_sum)) == (20, 10.0)


def test_the_best_is_what_first_stood_at_the_least_validation_loss() -> None:
    draw = np.random.default_rng(0)
    state = begun(drawn(draw))
    stood = []
    for number, validation_loss in enumerate((0.9, 0.4, 0.6, 0.4)):
        stats = Packed.of({"mean": np.full(2, number, np.float32)})
        state = state.apply_gradients(Packed.of(drawn(draw)), stats, jnp.float32(1), jnp.float32(0.01))
        stood.append(state.params.tree())
        state = state.keep_best(jnp.float32(validation_loss))
        assert float(state.loss_sum) == 0
    best = {name: packed.tree() for name, packed in state.best().items()}
    for name, found in best["params"].items():
        np.testing.assert_array_equal(found, stood[1][name])
    assert best["stats"]["mean"].tolist() == [1, 1]
    assert (int(state.best_step), float(state.best_loss)) == (2, np.float32(0.4))
