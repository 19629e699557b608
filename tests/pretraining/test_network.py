"""The projector against PyTorch's layers, and how its values begin."""

import math
from typing import Any

import jax
import numpy as np
import torch
from flax import nnx

from jaxseg.pretraining.config import PretrainConfig
from jaxseg.pretraining.network import PROJECTOR, Projector, initial_values

CONFIG = PretrainConfig(18, 1 / 16, projector=24)
INPUTS = 32  # of that encoder


def projector() -> tuple[dict[str, Any], dict[str, Any]]:
    params, stats = initial_values(CONFIG, None)
    return params[PROJECTOR], stats[PROJECTOR]


def test_three_layers_with_batch_normalisation_and_relu_between_them() -> None:
    params, stats = projector()
    graphdef, *_ = nnx.split(nnx.eval_shape(lambda: Projector(INPUTS, 24)), nnx.Param, nnx.BatchStat)
    x = np.random.default_rng(0).normal(1, 2, (10, INPUTS)).astype(np.float32)
    with jax.default_matmul_precision("highest"):
        found = nnx.merge(graphdef, params, stats)(x[:, None, None], True)
    expected = torch.from_numpy(x)
    for number in (1, 2, 3):
        expected = expected @ torch.from_numpy(params[f"linear{number}"]["kernel"][0, 0])
        if number < 3:
            expected = torch.relu(torch.nn.BatchNorm1d(24)(expected))
    np.testing.assert_allclose(found[:, 0, 0], expected.detach().numpy(), atol=1e-5)


def test_layers_begin_as_pytorchs_do_and_each_by_itself() -> None:
    params, stats = projector()
    kernels = [params[f"linear{number}"]["kernel"] for number in (1, 2, 3)]
    for kernel, inputs in zip(kernels, (INPUTS, 24, 24), strict=True):
        assert 0.98 / math.sqrt(inputs) < np.abs(kernel).max() <= 1 / math.sqrt(inputs)
    assert abs(np.corrcoef(kernels[1].ravel(), kernels[2].ravel())[0, 1]) < 0.3
    for number in (1, 2):
        norm, running = params[f"bn{number}"], stats[f"bn{number}"]
        assert ((norm["scale"] == 1).all(), norm["bias"].any()) == (True, False)
        assert ((running["var"] == 1).all(), running["mean"].any()) == (True, False)
