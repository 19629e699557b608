"""What the network's logits say: one for each foreground class; background has the fixed logit 0."""

import jax
import jax.numpy as jnp
from jax import Array


def probabilities(logits: Array) -> Array:
    """Foreground classes' probabilities (..., C) from their logits."""
    if logits.shape[-1] == 1:
        return jax.nn.sigmoid(logits)
    return jax.nn.softmax(with_background(logits))[..., 1:]


def with_background(logits: Array) -> Array:
    return jnp.concatenate([jnp.zeros_like(logits[..., :1]), logits], -1)
