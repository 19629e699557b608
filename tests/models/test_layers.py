"""Layers against PyTorch's, where their conventions differ from the usual JAX ones."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from jaxseg.models import layers
from jaxseg.models.convolution import upsample
from jaxseg.models.layers import EPSILON, BatchNorm, Conv, max_pool, relu


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def nchw(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def nhwc(x: torch.Tensor) -> np.ndarray:
    return x.detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("size", "stride", "side"), [(7, 2, 16), (3, 2, 8), (3, 1, 8), (1, 2, 8), (1, 1, 8)])
def test_convolution(size: int, stride: int, side: int) -> None:
    conv = Conv(3, 5, size, stride)
    kernel = images(size, size, 3, 5, seed=1)
    conv.kernel[...] = jnp.asarray(kernel)
    x = images(2, side, side + 4, 3)
    weight = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    expected = torch.nn.functional.conv2d(nchw(x), weight, stride=stride, padding=size // 2)
    with jax.default_matmul_precision("highest"):
        found = conv(jnp.asarray(x))
    np.testing.assert_allclose(found, nhwc(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_and_its_gradient(ties: bool) -> None:
    x = images(2, 8, 12, 3)
    if ties:
        x = np.round(x)  # many equal neighbours: the gradient must go to the first of them
    theirs = nchw(x).requires_grad_()
    expected = torch.nn.functional.max_pool2d(theirs, 3, 2, 1)
    slope = images(*nhwc(expected).shape, seed=1)
    expected.backward(nchw(slope))
    found, pull = jax.vjp(max_pool, jnp.asarray(x))
    np.testing.assert_array_equal(found, nhwc(expected))
    assert theirs.grad is not None
    np.testing.assert_allclose(pull(jnp.asarray(slope))[0], nhwc(theirs.grad), rtol=1e-6, atol=1e-6)


def test_max_pool_of_negative_values_ignores_the_padding() -> None:
    assert float(max_pool(-jnp.ones((1, 4, 4, 1))).max()) == -1


@pytest.mark.parametrize("cpu", [True, False])
def test_relu_and_its_gradient(cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "on_cpu", lambda: cpu)
    theirs = torch.tensor([-1.5, -0.0, 0.0, 2.0], requires_grad=True)
    expected = torch.relu(theirs)
    expected.backward(torch.ones(4))
    found, pull = jax.vjp(relu, jnp.asarray(theirs.detach().numpy()))
    assert theirs.grad is not None
    assert (found.tolist(), pull(jnp.ones(4))[0].tolist()) == (expected.tolist(), theirs.grad.tolist())


@pytest.mark.parametrize("cpu", [True, False])
def test_relu_does_not_hide_that_a_training_diverged(cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "on_cpu", lambda: cpu)
    assert jnp.isnan(relu(jnp.array(jnp.nan)))


def test_upsample_and_its_gradient() -> None:
    x = images(2, 3, 5, 4)
    theirs = nchw(x).requires_grad_()
    expected = torch.nn.functional.interpolate(theirs, scale_factor=2, mode="nearest")
    slope = images(2, 6, 10, 4, seed=1)
    expected.backward(nchw(slope))
    found, pull = jax.vjp(upsample, jnp.asarray(x))
    np.testing.assert_array_equal(found, nhwc(expected))
    assert theirs.grad is not None
    np.testing.assert_allclose(pull(jnp.asarray(slope))[0], nhwc(theirs.grad), rtol=1e-6, atol=1e-6)


def norm(channels: int) -> tuple[BatchNorm, torch.nn.BatchNorm2d]:
    ours, theirs = BatchNorm(channels), torch.nn.BatchNorm2d(channels)
    values: dict[str, Any] = {name: images(channels, seed=seed) for seed, name in enumerate(("weight", "bias", "mean"))}
    values["var"] = np.abs(images(channels, seed=9)) + 0.5
    state = {"weight": values["weight"], "bias": values["bias"]}
    state |= {"running_mean": values["mean"], "running_var": values["var"], "num_batches_tracked": np.zeros((), int)}
    theirs.load_state_dict({name: torch.from_numpy(np.asarray(x)) for name, x in state.items()})
    ours.scale[...], ours.bias[...] = jnp.asarray(values["weight"]), jnp.asarray(values["bias"])
    ours.mean[...], ours.var[...] = jnp.asarray(values["mean"]), jnp.asarray(values["var"])
    return ours, theirs


@pytest.mark.parametrize("train", [False, True])
def test_batch_norm(train: bool) -> None:
    ours, theirs = norm(4)
    x = 3 * images(2, 2, 2, 4) + 1  # eight values a channel: biased and unbiased variance differ by an eighth
    expected = theirs.train(train)(nchw(x))
    np.testing.assert_allclose(ours(jnp.asarray(x), train), nhwc(expected), rtol=1e-5, atol=1e-5)
    assert theirs.running_mean is not None
    assert theirs.running_var is not None
    np.testing.assert_allclose(ours.mean[...], theirs.running_mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.var[...], theirs.running_var, rtol=1e-6)


def test_batch_norm_of_bfloat16_computes_in_float32() -> None:
    ours, _ = norm(4)
    x = (100 + images(4, 16, 16, 4)).astype(jnp.bfloat16)
    found = ours(jnp.asarray(x), True)
    assert found.dtype == jnp.bfloat16
    wide = np.asarray(x, np.float64)
    var = np.asarray(ours.var[...]) - 0.9 * (np.abs(images(4, seed=9)) + 0.5)
    np.testing.assert_allclose(10 * var, wide.var((0, 1, 2), ddof=1), rtol=1e-3)


def test_batch_norm_of_values_far_from_zero_loses_no_digits_to_their_mean() -> None:
    ours, _ = norm(4)
    x = 1000 + images(4, 16, 16, 4)
    found, wide = ours(jnp.asarray(x), True), x.astype(np.float64)
    normalised = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + EPSILON)
    np.testing.assert_allclose(found, normalised * images(4, seed=0) + images(4, seed=1), atol=2e-3)


def test_batch_norm_of_constant_maps_is_its_bias() -> None:
    """Where rounding could make their variance negative, as of maps that are far from zero in few digits."""
    ours, _ = norm(4)
    x = jnp.broadcast_to(jnp.array([2560, 2576, 2592, 2992], jnp.bfloat16), (2, 5, 3, 4))
    found = ours(x, True).astype(jnp.float32)
    np.testing.assert_allclose(found, np.broadcast_to(images(4, seed=1), x.shape), atol=0.5)


def test_a_batch_norm_of_one_value_does_not_divide_by_zero() -> None:
    ours, _ = norm(2)
    ours(jnp.ones((1, 1, 1, 2)), True)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(nnx.to_pure_dict(nnx.state(ours))))
    assert torch.nn.BatchNorm2d(1).eps == EPSILON
