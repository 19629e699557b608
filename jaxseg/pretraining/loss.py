"""The loss of Barlow Twins: the two views' features agree, each with itself and with no other."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

EPSILON = 1e-5  # as in batch normalisation


class TwinsLoss(NamedTuple):
    """Scalars, float32.

    Attributes:
        value: what is minimised.
        agreement: mean of the correlation matrix's diagonal; 1 when both views give the same features.
        redundancy: root mean square of the other entries; 0 when features are uncorrelated.
    """

    value: Array
    agreement: Array
    redundancy: Array


def cross_correlation(first: Array, second: Array) -> Array:
    """Correlations over the batch of features (B, D) and (B, D): (D, D), float32."""
    return jnp.einsum("bi,bj->ij", _standardised(first), _standardised(second), precision="highest") / len(first)


def twins_loss(first: Array, second: Array, weight: float) -> TwinsLoss:
    """Sum of (1 - c_ii)^2 plus `weight` times the sum of the squares of all other c_ij (Zbontar et al. 2021, eq. 1).

    Args:
        first, second: projections of the two views, (B, D).
        weight: lambda of the paper.
    """
    correlation = cross_correlation(first, second)
    diagonal = jnp.diagonal(correlation)
    off_diagonal = jnp.square(correlation).sum() - jnp.square(diagonal).sum()
    width = len(diagonal)
    return TwinsLoss(
        value=jnp.square(1 - diagonal).sum() + weight * off_diagonal,
        agreement=diagonal.mean(),
        redundancy=jnp.sqrt(jnp.maximum(off_diagonal, 0) / (width * (width - 1))),
    )


def _standardised(features: Array) -> Array:
    centred = features.astype(jnp.float32) - features.astype(jnp.float32).mean(0)
    return centred / jnp.sqrt(jnp.square(centred).mean(0) + EPSILON)
