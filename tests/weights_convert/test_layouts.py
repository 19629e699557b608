"""Every layout is recognised from its content, and the right tensors are taken."""

import re
from pathlib import Path
from typing import Any

import fabricated
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from jaxseg.config import DEPTHS
from jaxseg.errors import InputError
from weights_convert.layouts import LAYOUTS, recognise
from weights_convert.read import read

NAMES = list(fabricated.layouts({}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_layouts(name: str, legacy: bool, state: Any, tmp_path: Path) -> None:
    file = fabricated.save(fabricated.layouts(state)[name], tmp_path / "misleading_swav.ckpt", legacy=legacy)
    tensors = read(file)
    found = recognise(tensors, file)
    assert (found.depth, found.width) == (18, fabricated.NARROW / 64)
    encoder = {name: x for name, x in found.tensors.items() if not name.startswith("fc.")}
    assert encoder.keys() == state.keys()
    assert all(np.array_equal(x, state[name].numpy()) for name, x in encoder.items())
    taken = {found.layout.prefix + name for name in found.tensors}
    assert taken | found.dropped.keys() == tensors.keys()
    assert not taken & found.dropped.keys()


@pytest.mark.parametrize("name", ["torchvision", "headless", "U-Net", "SwAV"])
def test_layouts_in_safetensors(name: str, state: Any, tmp_path: Path) -> None:
    content = {key: tensor.clone() for key, tensor in fabricated.layouts(state)[name].items()}
    save_file(content, tmp_path / "a.bin")
    found = recognise(read(tmp_path / "a.bin"), tmp_path)
    assert found.depth == 18
    np.testing.assert_array_equal(found.tensors["layer3.1.conv2.weight"], state["layer3.1.conv2.weight"])


def test_moco_takes_the_query_encoder_and_dino_the_teacher(state: Any, tmp_path: Path) -> None:
    files = fabricated.layouts(state)
    files["DINO, full"]["student"] = {name: x * 0 for name, x in files["DINO, full"]["student"].items()}
    for name in ("MoCo", "DINO, full"):
        found = recognise(read(fabricated.save(files[name], tmp_path / "a.pth")), tmp_path)
        assert found.tensors["conv1.weight"].any()


@pytest.mark.parametrize("depth", DEPTHS)
def test_depth_and_width(depth: int, tmp_path: Path) -> None:
    tensors = {name: x.numpy() for name, x in fabricated.resnet(depth, stem=2).items()}
    found = recognise(tensors, tmp_path)
    assert (found.depth, found.width) == (depth, 2 / 64)


def test_an_unknown_depth_is_refused_with_its_blocks(state: Any, tmp_path: Path) -> None:
    tensors = {name: x.numpy() for name, x in state.items() if not name.startswith("layer3.1.")}
    with pytest.raises(InputError, match=r"\(2, 2, 1, 2\) blocks of 2 convolutions"):
        recognise(tensors, tmp_path)


@pytest.mark.parametrize("shape", [(4,), (0, 3, 7, 7), (1025, 3, 7, 7)])
def test_a_stem_of_another_kind_is_refused(shape: tuple[int, ...], state: Any, tmp_path: Path) -> None:
    tensors = {name: x.numpy() for name, x in state.items()} | {"conv1.weight": np.zeros(shape, np.float32)}
    with pytest.raises(InputError, match=rf"stem of another kind\n(.|\n)*{re.escape(str(shape))}"):
        recognise(tensors, tmp_path)


def test_no_layout_and_several_layouts_are_refused(state: Any, tmp_path: Path) -> None:
    tensors = {f"trunk.{name}": x.numpy() for name, x in state.items()}
    with pytest.raises(InputError, match=r"no layout fits(.|\n)*trunk\.conv1\.weight"):
        recognise(tensors, tmp_path)
    twice = {f"{prefix}{name}": x.numpy() for name, x in state.items() for prefix in ("", "encoder.")}
    with pytest.raises(InputError, match=r"several layouts fit(.|\n)*plain; U-Net"):
        recognise(twice, tmp_path)


def test_tensors_that_the_layout_does_not_explain_are_refused(state: Any, tmp_path: Path) -> None:
    tensors = {f"module.{name}": x.numpy() for name, x in state.items()} | {"gem.p": torch.ones(1).numpy()}
    with pytest.raises(InputError, match=r"1 tensor that its layout does not explain(.|\n)*gem\.p"):
        recognise(tensors, tmp_path)


@pytest.mark.parametrize("name", ["ema", "state_dict_ema", "model_ema", "optimizer"])
def test_what_a_training_keeps_beside_the_weights_is_dropped_with_its_reason(name: str, state: Any) -> None:
    tensors = {f"model/{key}": x.numpy() for key, x in state.items()}
    found = recognise(tensors | {f"{name}/conv1.weight": 5 * tensors["model/conv1.weight"]}, Path("a.pth"))
    assert found.dropped[f"{name}/conv1.weight"] == (
        "state of the training" if name == "optimizer" else "moving average of the weights"
    )
    np.testing.assert_array_equal(found.tensors["conv1.weight"], tensors["model/conv1.weight"])


def test_rows_of_the_table_differ() -> None:
    assert len({layout.prefix for layout in LAYOUTS}) == len(LAYOUTS) == len({layout.name for layout in LAYOUTS})
