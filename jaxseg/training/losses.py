"""Cross-entropy plus soft Dice from mergeable sums, so that a loss over many batches is exact.

With one class the cross-entropy is the binary one of a sigmoid, with more that of a softmax (`jaxseg.models.logits`).
"""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxseg.models.logits import probabilities, with_background

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


def loss_sums(logits: Array, masks: Array, weights: Array) -> LossSums:
    """Sums of a batch.

    Args:
        logits: float32 (B, H, W, C).
        masks: int32 (B, H, W), 0 background, 1..C.
        weights: float32 (B,), 0 for crops that only fill up the batch.
    """
    classes = logits.shape[-1]
    everything = with_background(logits)
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
