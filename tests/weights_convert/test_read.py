"""Reading sound files: every format and type, nested dictionaries, objects beside the weights."""

import argparse
import sys
from pathlib import Path
from typing import Any

import fabricated
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from jaxseg.errors import UsageError
from weights_convert.read import read


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_types_and_nesting(legacy: bool, tmp_path: Path) -> None:
    content = {
        "state_dict": {"a.weight": torch.arange(6.0).reshape(2, 3), "counter": torch.tensor(3)},
        "half": torch.ones(2, dtype=torch.float16),
        "brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
        "optimizer": {"state": {0: {"momentum": torch.zeros(1)}}, "param_groups": [{"lr": 0.1}]},
        "epoch": 3,
    }
    found = read(fabricated.save(content, tmp_path / "a.pth.tar", legacy=legacy))
    assert found.keys() == {
        *("state_dict/a.weight", "state_dict/counter", "half", "brain", "parameter", "optimizer/state/0/momentum")
    }
    assert found["state_dict/a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["state_dict/counter"].dtype == np.int64
    assert found["half"].dtype == np.float16
    assert found["brain"].dtype == np.float32
    assert found["brain"].tolist() == [1.5, -2.0]


def test_safetensors(tmp_path: Path) -> None:
    content = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}
    save_file(content, tmp_path / "model.bin", metadata={"format": "pt"})
    found = read(tmp_path / "model.bin")
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["b"].dtype == np.float32
    assert found["b"].tolist() == [1.5, -2.0]


def test_other_memory_orders(tmp_path: Path) -> None:
    image = torch.arange(2.0 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    content = {"last": image.to(memory_format=torch.channels_last), "view": image[:, 1:, ::2], "scalar": image.sum()}
    found = read(fabricated.save(content, tmp_path / "a.pth"))
    for name, tensor in content.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_objects_of_training_programs_are_passed_over(tmp_path: Path) -> None:
    content: dict[str, Any] = {"args": argparse.Namespace(lr=0.1), "best": np.float64(76.1), "w": torch.ones(1)}
    assert read(fabricated.save(content, tmp_path / "a.pth")).keys() == {"w"}


def test_a_tensor_that_is_kept_with_its_sign_turned(tmp_path: Path) -> None:
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj().imag  # PyTorch turns the sign when the numbers are used
    assert tensor.is_neg()
    np.testing.assert_array_equal(read(fabricated.save({"x": tensor}, tmp_path / "a.pth"))["x"], [-2, 4])


def test_missing_pytorch_names_the_extra(
    resnet18: Path, tmp_path: Path, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(state, tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"pip install .*\[convert\]"):
        read(resnet18)
    assert read(tmp_path / "a.safetensors").keys() == state.keys()  # needs no PyTorch
