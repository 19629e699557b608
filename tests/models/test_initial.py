"""Initial values: paired over the weights, and drawn with the published variances."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from jaxseg.config import ModelConfig
from jaxseg.models.encoder_weights import EncoderWeights
from jaxseg.models.initial import initial
from jaxseg.models.receipt import Receipt
from jaxseg.models.unet import network
from jaxseg.storage.arrays import shapes

NARROW = ModelConfig(depth=18, width=1 / 16)


def receipt(config: ModelConfig) -> Receipt:
    return Receipt(
        **dict.fromkeys(("source", "file", "sha256", "layout", "statistics_from", "licence"), ""),
        **dict.fromkeys(("citation", "address", "arrays_sha256"), ""),
        name="made_up",
        bytes=0,
        depth=config.depth,
        width=config.width,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
    )


def same(a: object, b: object) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


def test_the_decoder_is_the_same_whatever_the_encoder_starts_from() -> None:
    params, stats = initial(NARROW, None, ("glas", 0))
    other, other_stats = initial(NARROW, None, ("glas", 1))
    encoder = EncoderWeights(other["encoder"], other_stats["encoder"], receipt(NARROW))
    converted, converted_stats = initial(NARROW, encoder, ("glas", 0))
    assert same(converted["decoder"], params["decoder"])
    assert same(converted["head"], params["head"])
    assert same(converted["encoder"], other["encoder"])
    assert not np.array_equal(params["encoder"]["stem"]["conv"]["kernel"], other["encoder"]["stem"]["conv"]["kernel"])
    assert same(converted_stats, stats | {"encoder": other_stats["encoder"]})


def test_repeats_differ_and_the_same_repeat_does_not() -> None:
    first, again, other = (initial(NARROW, None, ("glas", repeat))[0] for repeat in (0, 0, 1))
    assert same(first, again)
    assert not np.array_equal(first["head"]["kernel"], other["head"]["kernel"])


def test_converted_weights_are_copied_not_shared() -> None:
    params, stats = initial(NARROW, None, ("glas", 0))
    encoder = EncoderWeights(params["encoder"], stats["encoder"], receipt(NARROW))
    taken, statistics = initial(NARROW, encoder, ("glas", 0))
    taken["encoder"]["stem"]["conv"]["kernel"][:] = 0
    statistics["encoder"]["stem"]["bn"]["var"][:] = 0
    assert params["encoder"]["stem"]["conv"]["kernel"].any()
    assert stats["encoder"]["stem"]["bn"]["var"].all()


def test_every_kernel_is_drawn_by_itself() -> None:
    params, _ = initial(NARROW, None, ("glas", 0))
    signs = [np.signbit(leaf.ravel()[:32]) for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    assert len({each.tobytes() for each in signs}) == len(signs)


def test_shapes_and_types_are_those_of_the_network() -> None:
    params, stats = initial(NARROW, None, ("glas", 0))
    assert shapes(params) == shapes(network(NARROW).params)
    assert shapes(stats) == shapes(network(NARROW).stats)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, stats))} == {np.dtype(np.float32)}
    assert (params["encoder"]["stem"]["bn"]["scale"] == 1).all()
    assert (stats["encoder"]["stem"]["bn"]["var"] == 1).all()
    assert not params["head"]["bias"].any()


@pytest.mark.parametrize("path", ["encoder/stage3/block1/conv2", "encoder/stem/conv", "decoder/block1/conv1"])
def test_variances(path: str) -> None:
    """Encoder: Kaiming normal by fan-out, as torchvision; decoder: Kaiming uniform by fan-in, as the common U-Net."""
    config = dataclasses.replace(NARROW, width=0.5)
    kernel = initial(config, None, ("glas", 0))[0]
    for part in path.split("/"):
        kernel = kernel[part]
    values = kernel["kernel"]
    height, width, inputs, outputs = values.shape
    fan = height * width * (outputs if path.startswith("encoder") else inputs)
    error = 5 * math.sqrt(2 / values.size)  # five standard errors of a variance
    assert values.var() == pytest.approx(2 / fan, rel=error)
    assert abs(values.mean()) < 5 * math.sqrt(2 / fan / values.size)
    kurtosis = (values.astype(np.float64) ** 4).mean() / values.astype(np.float64).var() ** 2
    assert kurtosis == pytest.approx(3.0 if path.startswith("encoder") else 1.8, abs=0.35)


def test_the_head_is_drawn_by_both_fans() -> None:
    """Xavier uniform, as in the common U-Net."""
    values = initial(dataclasses.replace(NARROW, classes=16), None, ("glas", 0))[0]["head"]["kernel"]
    height, width, inputs, outputs = values.shape
    limit = math.sqrt(6 / (height * width * (inputs + outputs)))
    assert 0.98 * limit < np.abs(values).max() <= limit
