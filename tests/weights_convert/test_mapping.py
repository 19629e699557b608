"""The table of names is total in both directions and loses no bit."""

from pathlib import Path
from typing import Any

import fabricated
import numpy as np
import pytest

from jaxseg.config import DEPTHS, ModelConfig
from jaxseg.errors import InputError
from jaxseg.models.unet import network
from jaxseg.storage.arrays import shapes
from weights_convert import mapping
from weights_convert.convert import encoder_shapes
from weights_convert.mapping import ENCODER, UNET, flax_path, to_flax, to_torch, torch_name

WIDTH = fabricated.NARROW / 64


def arrays(state: fabricated.State) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in state.items()}


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_tensor_of_every_depth_goes_there_and_back_with_the_same_bits(depth: int, tmp_path: Path) -> None:
    source = arrays(fabricated.resnet(depth, classes=5))
    like = encoder_shapes(ModelConfig(depth, WIDTH))
    mapped = to_flax(source, like, ENCODER, tmp_path)
    assert shapes(mapped.tree) == shapes(like)
    assert mapped.used.keys() | mapped.dropped.keys() == source.keys()
    assert not mapped.used.keys() & mapped.dropped.keys()
    assert set(mapped.used.values()) == shapes(like).keys()
    back = to_torch(mapped.tree, ENCODER)
    assert back.keys() == mapped.used.keys()
    assert all(back[name].tobytes() == source[name].tobytes() for name in back)


def test_dropped_tensors_have_their_reasons(tmp_path: Path) -> None:
    source = arrays(fabricated.resnet(18, classes=5))
    dropped = to_flax(source, encoder_shapes(ModelConfig(18, WIDTH)), ENCODER, tmp_path).dropped
    counters = {name for name in source if name.endswith("num_batches_tracked")}
    assert dropped.keys() == counters | {"fc.weight", "fc.bias"}
    assert "classifier" in dropped["fc.weight"]
    assert "counter" in dropped["bn1.num_batches_tracked"]


def test_a_whole_unet_goes_there_and_back(tmp_path: Path) -> None:
    source = arrays(fabricated.unet())
    shape = network(ModelConfig(18, WIDTH))
    mapped = to_flax(source, {"params": shape.params, "stats": shape.stats}, UNET, tmp_path)
    assert shapes(mapped.tree["params"]) == shapes(shape.params)
    back = to_torch(mapped.tree, UNET)
    assert back.keys() == {name for name in source if not name.endswith("num_batches_tracked")}
    assert all(back[name].tobytes() == source[name].tobytes() for name in back)


@pytest.mark.parametrize(
    ("torch", "flax"),
    [
        ("encoder.layer3.11.conv2.weight", "params/encoder/stage3/block11/conv2/kernel"),
        ("encoder.layer1.0.downsample.1.running_var", "stats/encoder/stage1/block0/downsample_bn/var"),
        ("decoder.blocks.4.conv1.1.weight", "params/decoder/block5/bn1/scale"),
        ("decoder.blocks.0.conv2.0.weight", "params/decoder/block1/conv2/kernel"),
        ("segmentation_head.0.bias", "params/head/bias"),
    ],
)
def test_names_by_hand(torch: str, flax: str) -> None:
    found = flax_path(torch, UNET)
    assert found is not None
    assert found[0] == flax
    assert torch_name(flax, UNET)[0] == torch


@pytest.mark.parametrize(
    "name", ["layer01.0.conv1.weight", "layer1.0.conv1.weight.", "xconv1.weight", "layer1.0.conv1"]
)
def test_unknown_names_are_unknown(name: str) -> None:
    assert flax_path(name, ENCODER) is None


def change(tensors: dict[str, np.ndarray], kind: str) -> str:
    """Spoil one tensor and return what the message must name."""
    name = "layer2.1.conv2.weight"
    if kind == "missing":
        del tensors[name]
    elif kind == "surplus":
        name = "layer2.1.se.weight"
        tensors[name] = np.ones(3, np.float32)
    elif kind == "renamed":
        tensors["layer2.1.convolution2.weight"] = tensors.pop(name)
        name = "layer2.1.convolution2.weight"
    elif kind == "misshaped":
        tensors[name] = tensors[name][:, :-1]
    elif kind == "transposed":
        tensors[name] = tensors[name].transpose(2, 3, 1, 0)
    elif kind == "not a number":
        tensors[name] = np.where(np.arange(tensors[name].size).reshape(tensors[name].shape) == 3, np.nan, tensors[name])
        tensors[name] = tensors[name].astype(np.float32)
    elif kind == "infinite":
        name = "layer2.1.bn1.running_mean"
        tensors[name] = tensors[name] + np.float32(np.inf)
    elif kind == "negative variance":
        name = "layer2.1.bn1.running_var"
        tensors[name] = np.where(np.arange(tensors[name].size) == 1, -tensors[name], tensors[name])
    elif kind == "integers":
        tensors[name] = tensors[name].astype(np.int64)
    elif kind == "double precision":
        tensors[name] = tensors[name].astype(np.float64)
    return name


KINDS = [
    *("missing", "surplus", "renamed", "misshaped", "transposed", "not a number", "infinite", "negative variance"),
    *("integers", "double precision"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_tensor_is_refused_by_name(kind: str, state: Any, tmp_path: Path) -> None:
    tensors = arrays(state)
    name = change(tensors, kind)
    with pytest.raises(InputError) as error:
        to_flax(tensors, encoder_shapes(ModelConfig(18, WIDTH)), ENCODER, tmp_path / "spoilt.pth")
    assert name in str(error.value)
    assert "spoilt.pth" in str(error.value)


def test_half_precision_is_widened(state: Any, tmp_path: Path) -> None:
    tensors = {name: x.astype(np.float16) if x.dtype == np.float32 else x for name, x in arrays(state).items()}
    mapped = to_flax(tensors, encoder_shapes(ModelConfig(18, WIDTH)), ENCODER, tmp_path)
    kernel = mapped.tree["params"]["stem"]["conv"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, tensors["conv1.weight"].transpose(2, 3, 1, 0))


def test_the_table_has_no_two_rows_for_one_name() -> None:
    for table in (ENCODER, UNET):
        for names in ([row.torch for row in table], [row.flax for row in table]):
            assert len(set(names)) == len(names)
    assert mapping.reason_to_drop("layer1.0.bn1.weight") is None
