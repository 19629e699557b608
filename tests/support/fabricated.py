"""Weight files in every layout, made up: real ones cannot be shipped with tests."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_unet import ResNet, TorchUNet

NARROW = 4  # channels of the stem instead of 64

State = dict[str, Tensor]


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Give every parameter and statistic a value that no other has, so that exchanged tensors are noticed."""
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw))
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(7)
        else:
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 100
            tensor.copy_(torch.randn(tensor.shape, generator=draw) * (2 / fan_in) ** 0.5)
    return module


def resnet(depth: int = 18, stem: int = NARROW, classes: int = 0, seed: int = 0) -> State:
    """A state_dict with torchvision's names; with `fc.*` where there are classes."""
    return dict(randomised(ResNet(depth, stem, classes), seed).state_dict())


def unet(depth: int = 18, stem: int = NARROW, seed: int = 0) -> State:
    return dict(randomised(TorchUNet(depth, stem, (16, 8, 8, 8, 8)), seed).state_dict())


def _prefixed(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def _optimiser() -> dict[str, Any]:
    momentum = {0: {"momentum_buffer": torch.ones(3)}}
    return {"state": momentum, "param_groups": [{"lr": 0.1, "params": [0]}]}


def layouts(state: State) -> dict[str, Any]:
    """What the files of each layout hold around the encoder `state`."""
    head = {"weight": torch.ones(8, 3), "bias": torch.zeros(8)}
    moco_head = _prefixed("fc.0.", head) | _prefixed("fc.2.", head)
    return {
        "torchvision": state | _prefixed("fc.", head),
        "headless": state,
        "SwAV": _prefixed("module.", state)
        | _prefixed("module.projection_head.0.", head)
        | {"module.prototypes.weight": head["weight"]},
        "Barlow Twins, full": {
            "epoch": 1000,
            "model": _prefixed("module.backbone.", state)
            | _prefixed("module.projector.0.", head)
            | {"module.bn.running_mean": head["bias"], "module.bn.num_batches_tracked": torch.tensor(3)},
            "optimizer": _optimiser(),
        },
        "MoCo": {
            "epoch": 200,
            "arch": "resnet50",
            "state_dict": _prefixed("module.encoder_q.", state | moco_head)
            | _prefixed("module.encoder_k.", {name: tensor * 0 for name, tensor in state.items()} | moco_head)
            | {"module.queue": torch.ones(8, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)},
            "optimizer": _optimiser(),
        },
        "DINO, full": {
            "student": _prefixed("module.backbone.", state),
            "teacher": _prefixed("backbone.", state) | _prefixed("head.mlp.0.", head),
            "optimizer": _optimiser(),
        },
        "SimCLR of Ciga et al.": {
            "epoch": 1,
            "state_dict": _prefixed("model.resnet.", state | _prefixed("fc.1.", head)),
            "optimizer_states": [_optimiser()],
        },
        "Lightning": {"state_dict": _prefixed("model.", state | _prefixed("fc.", head)), "global_step": 7},
        "state_dict": {"state_dict": _prefixed("module.", state | _prefixed("fc.", head)), "best_acc1": 76.1},
        "U-Net": _prefixed("encoder.", state)
        | _prefixed("decoder.blocks.0.conv1.0.", head)
        | _prefixed("segmentation_head.0.", head),
        "U-Net in Lightning": {
            "state_dict": _prefixed("model.encoder.", state) | _prefixed("model.segmentation_head.0.", head)
        },
    }


def save(content: Any, file: Path, *, legacy: bool = False) -> Path:
    """As torch.save writes it; `legacy` in the format before PyTorch 1.6."""
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file
