"""ResNet and U-Net forward passes in PyTorch, straight from a state_dict: the independent side of every comparison.

Written on `torch.nn.functional` alone, so that it shares no line with the models and the mapping that it judges.
Tensors go by torchvision's names, or by those of the common PyTorch U-Net. All arithmetic is float32 on the CPU.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Arrays = Mapping[str, np.ndarray]


def encoder(arrays: Arrays, images: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """Maps `stem`, `stage1`..`stage4` of images (B, H, W, 3), each (B, h, w, c), with running statistics."""
    with torch.inference_mode():
        maps = _encoder(arrays, prefix, _nchw(images))
    names = ["stem", *(f"stage{number}" for number in range(1, 5))]
    return {name: _nhwc(x) for name, x in zip(names, maps, strict=True)}


def unet(arrays: Arrays, images: np.ndarray) -> np.ndarray:
    """Logits (B, H, W, classes) of images (B, H, W, 3), with running statistics."""
    with torch.inference_mode():
        x, *skips = reversed(_encoder(arrays, "encoder.", _nchw(images)))
        for number in range(5):
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            if number < len(skips):
                x = torch.cat([x, skips[number]], 1)
            for part in (1, 2):
                name = f"decoder.blocks.{number}.conv{part}"
                x = functional.relu(_norm(arrays, f"{name}.1", _conv(arrays, f"{name}.0", x, 1)))
        logits = _conv(arrays, "segmentation_head.0", x, 1)
    return _nhwc(logits)


def _encoder(arrays: Arrays, prefix: str, x: Tensor) -> list[Tensor]:
    maps = [functional.relu(_norm(arrays, f"{prefix}bn1", _conv(arrays, f"{prefix}conv1", x, 2)))]
    x = functional.max_pool2d(maps[0], 3, 2, 1)
    for stage in range(1, 5):
        block = 0
        while f"{prefix}layer{stage}.{block}.conv1.weight" in arrays:
            x = _block(arrays, f"{prefix}layer{stage}.{block}", x, 2 if stage > 1 and block == 0 else 1)
            block += 1
        maps.append(x)
    return maps


def _block(arrays: Arrays, name: str, x: Tensor, stride: int) -> Tensor:
    bottleneck = f"{name}.conv3.weight" in arrays
    y = _norm(arrays, f"{name}.bn1", _conv(arrays, f"{name}.conv1", x, 1 if bottleneck else stride))
    y = _norm(arrays, f"{name}.bn2", _conv(arrays, f"{name}.conv2", functional.relu(y), stride if bottleneck else 1))
    if bottleneck:
        y = _norm(arrays, f"{name}.bn3", _conv(arrays, f"{name}.conv3", functional.relu(y), 1))
    if f"{name}.downsample.0.weight" in arrays:
        x = _norm(arrays, f"{name}.downsample.1", _conv(arrays, f"{name}.downsample.0", x, stride))
    return functional.relu(x + y)


def _conv(arrays: Arrays, name: str, x: Tensor, stride: int) -> Tensor:
    weight = _tensor(arrays, f"{name}.weight")
    bias = _tensor(arrays, f"{name}.bias") if f"{name}.bias" in arrays else None
    return functional.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)


def _norm(arrays: Arrays, name: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (
        _tensor(arrays, f"{name}.{part}") for part in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(x, mean, var, weight, bias, training=False, eps=1e-5)


def _tensor(arrays: Arrays, name: str) -> Tensor:
    return torch.tensor(arrays[name], dtype=torch.float32)


def _nchw(images: np.ndarray) -> Tensor:
    return torch.tensor(images, dtype=torch.float32).permute(0, 3, 1, 2)


def _nhwc(x: Tensor) -> np.ndarray:
    return np.asarray(x.permute(0, 2, 3, 1).contiguous().numpy())
