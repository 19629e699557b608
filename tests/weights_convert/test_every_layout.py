"""Every kind of file, from the file to training: the same maps, gradients, statistics and losses as PyTorch."""

import functools
from pathlib import Path
from typing import Any

import fabricated
import jax
import numpy as np
import optax
import pytest
import torch
from layout_files import FILES, LayoutFile
from torch_unet import TorchUNet

from jaxseg.config import ModelConfig
from jaxseg.models import encoder_weights
from jaxseg.models.architecture import decoder_channels
from jaxseg.models.golden import RUN_ONCE
from jaxseg.models.receipt import Receipt
from jaxseg.models.unet import network
from weights_convert.convert import Origin, convert
from weights_convert.mapping import ENCODER, UNET, to_flax, to_torch

CONFIG = ModelConfig(18, fabricated.NARROW / 64)
ORIGIN = Origin(mean=(0.5,) * 3, std=(0.2,) * 3)

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.title.replace(" ", "_"))


@pytest.fixture(autouse=True)
def _float32() -> Any:
    with jax.default_matmul_precision("highest"):
        yield


def converted(file: LayoutFile, state: fabricated.State, folder: Path) -> Path:
    return convert(file.write(state, folder), folder / "weights", ORIGIN, name="made_up")


def pair(folder: Path, state: fabricated.State) -> tuple[TorchUNet, Any, Any]:
    """PyTorch's U-Net with the encoder that the file was made of, and ours with the one that was converted."""
    theirs = TorchUNet(CONFIG.depth, fabricated.NARROW, decoder_channels(CONFIG.decoder, CONFIG.width))
    fabricated.randomised(theirs, seed=1)
    theirs.encoder.load_state_dict(state, strict=True)
    shapes = network(CONFIG)
    tensors = {name: x.numpy().copy() for name, x in theirs.state_dict().items()}
    tree = to_flax(tensors, {"params": shapes.params, "stats": shapes.stats}, UNET, folder).tree
    weights = encoder_weights.read(folder.parent, folder.name, CONFIG)
    return theirs, tree["params"] | {"encoder": weights.params}, tree["stats"] | {"encoder": weights.stats}


def batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    images = draw.standard_normal((2, 64, 64, 3)).astype(np.float32)
    return images, (draw.random((2, 64, 64, 1)) < 0.4).astype(np.float32)


def nchw(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def difference(found: Any, expected: torch.Tensor) -> float:
    reference = expected.detach().numpy()
    return float(np.abs(np.asarray(found) - reference).max() / np.abs(reference).max())


@functools.cache
def forward() -> Any:
    return jax.jit(functools.partial(network(CONFIG).apply, train=False), compiler_options=RUN_ONCE)


@functools.cache
def loss_and_gradients() -> Any:
    def loss(params: Any, stats: Any, images: Any, masks: Any) -> Any:
        (logits, _), stats = network(CONFIG).apply(params, stats, images, train=True)
        return optax.sigmoid_binary_cross_entropy(logits, masks).mean(), stats

    return jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=RUN_ONCE)


@functools.cache
def adam() -> Any:
    optimiser = optax.adam(1e-4)

    def update(params: Any, gradients: Any, state: Any) -> Any:
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(params, updates), state

    return optimiser.init, jax.jit(update, compiler_options=RUN_ONCE)


def torch_loss(model: TorchUNet, images: np.ndarray, masks: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(model(nchw(images))[0], nchw(masks))


@every_file
def test_every_bit_comes_back(file: LayoutFile, state: fabricated.State, tmp_path: Path) -> None:
    folder = converted(file, state, tmp_path)
    assert Receipt.read(folder).layout == file.recognised
    back = to_torch(encoder_weights.read(folder.parent, folder.name, CONFIG).tree(), ENCODER)
    assert back.keys() == {name for name in state if not name.endswith("num_batches_tracked")}
    assert all(back[name].tobytes() == state[name].numpy().tobytes() for name in back)


@every_file
def test_training_goes_as_in_pytorch(file: LayoutFile, state: fabricated.State, tmp_path: Path) -> None:
    """Maps and logits in float32; ten Adam steps in float64, where no rounding crosses ReLU's corner."""
    theirs, params, stats = pair(converted(file, state, tmp_path), state)
    check_maps(theirs.eval(), params, stats)
    with jax.enable_x64(True):
        check_training(theirs.double().train(), *jax.tree.map(np.float64, (params, stats)))


def check_training(theirs: TorchUNet, params: Any, stats: Any) -> None:
    optimiser = torch.optim.Adam(theirs.parameters(), lr=1e-4)
    start, update = adam()
    moments = start(params)
    for number in range(10):
        images, masks = map(np.float64, batch(number))
        optimiser.zero_grad()
        expected = torch_loss(theirs, images, masks)
        expected.backward()
        (found, stats), gradients = loss_and_gradients()(params, stats, images, masks)
        assert float(found) == pytest.approx(expected.item(), rel=1e-6), number
        if number == 0:
            check_gradients(theirs, gradients)
        if number == 2:
            check_statistics(theirs, stats)
        optimiser.step()
        params, moments = update(params, gradients, moments)


def check_maps(theirs: TorchUNet, params: Any, stats: Any) -> None:
    images, _ = batch(11)
    with torch.no_grad():
        logits, maps = theirs(nchw(images))
    (found_logits, found), _ = forward()(params, stats, images)
    assert found.keys() == maps.keys()
    for name, x in maps.items():
        assert difference(found[name], x.permute(0, 2, 3, 1)) <= 1e-5, name
    assert difference(found_logits, logits.permute(0, 2, 3, 1)) <= 1e-4


def check_gradients(theirs: TorchUNet, gradients: Any) -> None:
    found = to_torch({"params": gradients}, UNET)
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        assert x is not None
        assert difference(found[name], x) <= 1e-8, name


def check_statistics(theirs: TorchUNet, stats: Any) -> None:
    for name, found in to_torch({"stats": stats}, UNET).items():
        assert difference(found, theirs.state_dict()[name]) <= 1e-8, name
