"""Batch normalisation folded into kernels predicts what the trained network predicts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.compute.device import Precision
from jaxseg.config import ModelConfig
from jaxseg.models.folding import fold, folded_network
from jaxseg.models.initial import initial
from jaxseg.models.rounding import rounded
from jaxseg.models.unet import network
from jaxseg.storage.arrays import Tree, shapes


def trained(config: ModelConfig) -> tuple[Tree, Tree]:
    """Parameters and statistics as no initialisation gives them."""
    draw = np.random.default_rng(5)
    params, stats = initial(config, None, ("folding",))
    disturbed = jax.tree.map(lambda x: np.float32(x + 0.2 * draw.normal(size=x.shape)), params)
    return disturbed, jax.tree.map(lambda x: np.float32(np.abs(x + 0.3 * draw.normal(size=x.shape)) + 0.1), stats)


@pytest.mark.parametrize("config", [ModelConfig(18, 0.125), ModelConfig(50, 0.125, classes=3)])
def test_predicts_the_same(config: ModelConfig) -> None:
    params, stats = trained(config)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    (expected, features), _ = network(config).apply(params, stats, images, train=False)
    (found, folded_features), nothing = folded_network(config).apply(fold(params, stats), {}, images, train=False)
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=1e-5 * scale)
    for name, feature in features.items():
        np.testing.assert_allclose(folded_features[name], feature, atol=1e-5 * float(jnp.abs(feature).max()))
    assert nothing == {}


def test_parameters_are_those_of_the_folded_network() -> None:
    config = ModelConfig(50, 0.125)
    assert shapes(fold(*trained(config))) == shapes(folded_network(config).params)
    assert folded_network(config).stats == {}
    assert "scale" in network(config).params["encoder"]["stem"]["bn"]  # the other network is as it was


def test_only_the_head_is_not_rounded() -> None:
    folded = fold(*trained(ModelConfig(18, 0.125)))
    assert dtypes(rounded(folded, Precision(jnp.bfloat16, jnp.bfloat16))) == {
        "encoder": {"bfloat16"},
        "decoder": {"bfloat16"},
        "head": {"float32"},
    }


def test_offsets_are_of_the_maps_dtype() -> None:
    block = rounded(fold(*trained(ModelConfig(18, 0.125))), Precision(jnp.float32, jnp.bfloat16))["decoder"]["block1"]
    assert dtypes(block) == {
        "conv1": {"bfloat16"},
        "bn1": {"float32"},
        "conv2": {"bfloat16"},
        "bn2": {"float32"},
    }


def dtypes(params: Tree) -> dict[str, set[str]]:
    return {name: {leaf.dtype.name for leaf in jax.tree.leaves(child)} for name, child in params.items()}
