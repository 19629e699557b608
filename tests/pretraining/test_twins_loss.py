"""The loss against a NumPy loop and against PyTorch, and where it must be nought."""

import jax
import numpy as np
import pytest

from jaxseg.pretraining.loss import EPSILON, twins_loss
from jaxseg.training.mesh import make_mesh, replicated, sharded

WEIGHT = 0.0051


def features(batch: int = 12, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    first = draw.normal(2, 3, (batch, width))
    return first.astype(np.float32), (first * 0.7 + draw.normal(-1, 2, (batch, width))).astype(np.float32)


def test_equals_a_loop_over_the_correlation_matrix() -> None:
    first, second = features()
    value, diagonal, others = 0.0, [], []
    for i in range(5):
        for j in range(5):
            a, b = first[:, i].astype(np.float64), second[:, j].astype(np.float64)
            covariance = ((a - a.mean()) * (b - b.mean())).mean()
            c = covariance / np.sqrt((a.var() + EPSILON) * (b.var() + EPSILON))
            value += (1 - c) ** 2 if i == j else WEIGHT * c**2
            (diagonal if i == j else others).append(c)
    found = twins_loss(first, second, WEIGHT)
    assert float(found.value) == pytest.approx(value, rel=1e-5)
    assert float(found.agreement) == pytest.approx(np.mean(diagonal), rel=1e-5)
    assert float(found.redundancy) == pytest.approx(np.sqrt(np.mean(np.square(others))), rel=1e-4)


def test_value_and_gradient_equal_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    one, two = (torch.tensor(x, requires_grad=True) for x in features(16, 6))
    normalise = torch.nn.BatchNorm1d(6, affine=False)
    correlation = normalise(one).T @ normalise(two) / 16
    off = correlation - torch.diag(torch.diagonal(correlation))
    expected = (torch.diagonal(correlation) - 1).pow(2).sum() + WEIGHT * off.pow(2).sum()
    expected.backward()
    value, gradients = jax.value_and_grad(lambda a, b: twins_loss(a, b, WEIGHT).value, (0, 1))(*features(16, 6))
    assert float(value) == pytest.approx(expected.item(), rel=1e-5)
    for found, reference in zip(gradients, (one, two), strict=True):
        np.testing.assert_allclose(found, reference.grad.numpy(), atol=1e-6)


def test_equal_views_of_uncorrelated_features_cost_nothing() -> None:
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)  # columns of a Hadamard matrix
    found = twins_loss(7 * signs + 2, 7 * signs + 2, WEIGHT)
    assert float(found.value) < 1e-10
    assert float(found.agreement) == pytest.approx(1, abs=1e-5)


def test_collapse_to_one_feature_is_punished() -> None:
    same = np.repeat(features()[0][:, :1], 5, axis=1)
    found = twins_loss(same, same, WEIGHT)
    assert float(found.value) == pytest.approx(WEIGHT * 20, rel=1e-4)  # 5 x 5 entries of 1, less the diagonal
    assert float(found.redundancy) == pytest.approx(1, abs=1e-4)


def test_a_batch_spread_over_devices_is_one_batch() -> None:
    mesh = make_mesh(12, 2)
    spread = jax.device_put(features(), sharded(mesh))
    found = jax.jit(lambda a, b: twins_loss(a, b, WEIGHT), out_shardings=replicated(mesh))(*spread)
    np.testing.assert_allclose(found, twins_loss(*features(), WEIGHT), rtol=1e-5)
