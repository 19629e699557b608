"""Cross-entropy plus soft Dice from mergeable sums, so that a loss over many batches is exact.

The model gives one logit a foreground class; background has the fixed logit 0. With one class this is the binary
cross-entropy of a sigmoid, with more a softmax.
"""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

SMOOTH = 1.0  # pixels; a batch without foreground and without prediction has Dice 1, not 0/0


class LossSums(NamedTuple):
    """Sums over pixels, float32; vectors are per foreground class (C,).

    Attributes:
        cross_entropy, pixels: scalars.
        overlap: of probability with truth; predicted: of probability; actual: of truth.
        hard_overlap, hard_predicted: the same with the likeliest class in place of probabilities.
    """

    cross_entropy: Array
    pixels: Array
    overlap: Array
    predicted: Array
    actual: Array
    hard_overlap: Array
    hard_predicted: Array

    def __add__(self, other: "LossSums") -> "LossSums":  # type: ignore[override]
        return LossSums(*map(operator.add, self, other))


def probabilities(logits: Array) -> Array:
    """Foreground classes' probabilities (..., C) from their logits."""
    if logits.shape[-1] == 1:
        return jax.nn.sigmoid(logits)
    return jax.nn.softmax(_with_background(logits))[..., 1:]


def loss_sums(logits: Array, masks: Array, weights: Array) -> LossSums:
    """Sums of a batch.

    Args:
        logits: float32 (B, H, W, C).
        masks: int32 (B, H, W), 0 background, 1..C.
        weights: float32 (B,), 0 for crops that only fill up the batch.
    """
    classes = logits.shape[-1]
    everything = _with_background(logits)
    truth = jax.nn.one_hot(masks, classes + 1)
    cross_entropy = jax.nn.logsumexp(everything, -1) - (everything * truth).sum(-1)
    soft, actual = probabilities(logits), truth[..., 1:]
    hard = jax.nn.one_hot(jnp.argmax(everything, -1), classes + 1)[..., 1:]
    each = weights[:, None, None, None]  # not a product of matrices, which a GPU would round to TF32
    sums = [(x * each).sum((0, 1, 2)) for x in (soft * actual, soft, actual, hard * actual, hard)]
    area = logits.shape[1] * logits.shape[2]
    return LossSums((cross_entropy.sum((1, 2)) * weights).sum(), weights.sum() * area, *sums)


def loss(sums: LossSums) -> Array:
    """Mean cross-entropy plus one minus soft Dice, the latter pooled over pixels and averaged over classes."""
    dice = (2 * sums.overlap + SMOOTH) / (sums.predicted + sums.actual + SMOOTH)
    return sums.cross_entropy / sums.pixels + 1 - dice.mean()


def hard_dice(sums: LossSums) -> Array:
    """Dice of the likeliest class, pooled over pixels, averaged over classes."""
    dice = (2 * sums.hard_overlap + SMOOTH) / (sums.hard_predicted + sums.actual + SMOOTH)
    return dice.mean()


def _with_background(logits: Array) -> Array:
    return jnp.concatenate([jnp.zeros_like(logits[..., :1]), logits], -1)
