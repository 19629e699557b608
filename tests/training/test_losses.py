"""Loss and its sums against PyTorch and against counting by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from jaxseg.models.logits import probabilities
from jaxseg.training.losses import hard_dice, loss, loss_sums

draw = np.random.default_rng(0)


def test_binary_loss_is_cross_entropy_plus_soft_dice_of_pytorch() -> None:
    logits = draw.normal(size=(3, 8, 8, 1)).astype(np.float32) * 3
    masks = draw.integers(0, 2, (3, 8, 8))
    sums = loss_sums(jnp.asarray(logits), jnp.asarray(masks), jnp.ones(3))
    z, t = torch.from_numpy(logits[..., 0]), torch.from_numpy(masks).float()
    p = torch.sigmoid(z)
    dice = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    expected = functional.binary_cross_entropy_with_logits(z, t) + 1 - dice
    assert float(loss(sums)) == pytest.approx(float(expected), rel=1e-5)


def test_several_classes_are_a_softmax_with_background() -> None:
    logits = draw.normal(size=(2, 6, 6, 3)).astype(np.float32)
    masks = draw.integers(0, 4, (2, 6, 6))
    sums = loss_sums(jnp.asarray(logits), jnp.asarray(masks), jnp.ones(2))
    everything = torch.cat([torch.zeros(2, 6, 6, 1), torch.from_numpy(logits)], -1).permute(0, 3, 1, 2)
    p, t = everything.softmax(1)[:, 1:], functional.one_hot(torch.from_numpy(masks), 4).permute(0, 3, 1, 2)[:, 1:]
    dice = (2 * (p * t).sum((0, 2, 3)) + 1) / (p.sum((0, 2, 3)) + t.sum((0, 2, 3)) + 1)
    expected = functional.cross_entropy(everything, torch.from_numpy(masks)) + 1 - dice.mean()
    assert float(loss(sums)) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(probabilities(jnp.asarray(logits)), p.permute(0, 2, 3, 1), atol=1e-6)


def test_sums_of_parts_give_the_loss_of_the_whole() -> None:
    logits, masks = draw.normal(size=(4, 8, 8, 1)), draw.integers(0, 2, (4, 8, 8))
    whole = loss_sums(jnp.asarray(logits), jnp.asarray(masks), jnp.ones(4))
    parts = [loss_sums(jnp.asarray(logits[i : i + 2]), jnp.asarray(masks[i : i + 2]), jnp.ones(2)) for i in (0, 2)]
    assert float(loss(parts[0] + parts[1])) == pytest.approx(float(loss(whole)), rel=1e-6)


def test_crops_of_weight_zero_do_not_count() -> None:
    logits, masks = draw.normal(size=(3, 8, 8, 1)), draw.integers(0, 2, (3, 8, 8))
    filled = loss_sums(jnp.asarray(logits), jnp.asarray(masks), jnp.array([1.0, 1.0, 0.0]))
    alone = loss_sums(jnp.asarray(logits[:2]), jnp.asarray(masks[:2]), jnp.ones(2))
    assert float(loss(filled)) == pytest.approx(float(loss(alone)), rel=1e-6)
    assert float(hard_dice(filled)) == pytest.approx(float(hard_dice(alone)), rel=1e-6)


def test_hard_dice_by_counting() -> None:
    logits = np.where([[1, 1], [0, 0]], 0.2, -3.0)[None, ..., None]  # not sure: what is likelier counts, by pixels
    masks = np.array([[[1, 0], [1, 0]]])
    sums = loss_sums(jnp.asarray(logits), jnp.asarray(masks), jnp.ones(1))
    assert float(hard_dice(sums)) == pytest.approx((2 * 1 + 1) / (2 + 2 + 1))
