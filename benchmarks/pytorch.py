"""PyTorch's side of every race, as fast as common means make it.

channels_last and fused Adam everywhere; on GPUs bfloat16 autocast, TF32 and `torch.compile(mode="reduce-overhead")`; on
CPUs eager mode in float32, or in bfloat16 by autocast. No crops are cut in its training step: it gets them for nothing.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import material
from benchmarks.peer_model import ResNet, TorchUNet
from benchmarks.turns import Turn, warmed

DECODER, NARROWEST = (256, 128, 64, 32, 16), 8  # widths of the decoder at width 1, and the least at any width
WINDOWS = 16  # predicted at once, as many as ours
SMOOTH = 1.0
P = ParamSpec("P")
R = TypeVar("R")


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def model_of(setting: dict[str, Any]) -> nn.Module:
    """The U-Net on its device, ReLUs in place."""
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    widths = tuple(max(NARROWEST, round(channels * setting["width"])) for channels in DECODER)
    model = TorchUNet(setting["depth"], round(64 * setting["width"]), widths)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    return model.to(device(), memory_format=torch.channels_last)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """CUDA graphs and fused kernels on GPUs; eager on CPUs."""
    return torch.compile(function, mode="reduce-overhead") if device() == "cuda" else function


def begin_step() -> None:
    """What the step before gave is not needed any more: CUDA graphs may write over it."""
    if device() == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def stay_in_place(*tensors: Tensor) -> None:
    """CUDA graphs shall read these where they lie, and not copy them before every call."""
    if device() == "cuda":
        for tensor in tensors:
            torch._dynamo.mark_static_address(tensor)


def rounded_once(model: nn.Module, setting: dict[str, Any]) -> nn.Module:
    """Kernels in bfloat16 for all batches, where autocast would round them for each."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and setting["dtype"] == "bfloat16":
            module.to(torch.bfloat16)
    return model


def autocast(setting: dict[str, Any]) -> torch.autocast:
    return torch.autocast(device(), torch.bfloat16, enabled=setting["dtype"] == "bfloat16")


def finished() -> float:
    """The time at which all work asked for is done."""
    if device() == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice over the batch, float32."""
    logits = logits.float()
    probability = torch.sigmoid(logits)
    overlap, total = (probability * truth).sum(), (probability + truth).sum()
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return functional.binary_cross_entropy_with_logits(logits, truth) + 1 - dice


def train_step(setting: dict[str, Any]) -> Turn:
    """Seconds of `steps` training steps on crops that lie on the device already."""
    model = model_of(setting).train()
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    pixels, masks, _ = material.stack(setting["batch"], setting["side"])
    images = normalised(pixels)
    truth = torch.tensor(masks, dtype=torch.float32, device=device())[:, None]

    def loss(images: Tensor, truth: Tensor) -> Tensor:
        with autocast(setting):
            logits = model(images)[0]
        return loss_of(logits, truth)

    stay_in_place(images, truth)
    objective = compiled(loss)

    def turn(steps: int = setting["steps"]) -> float:
        started = finished()
        for _ in range(steps):
            begin_step()
            adam.zero_grad(set_to_none=True)
            objective(images, truth).backward()
            adam.step()
        return finished() - started

    turn(setting["warm"])
    return turn


def predict(setting: dict[str, Any]) -> Turn:
    """Seconds to predict the images by sliding window, from uint8 to probabilities in NumPy."""
    model = rounded_once(model_of(setting).eval(), setting)
    images = material.images(setting["sizes"])
    crop, stride = setting["crop"], setting["stride"]

    def forward(windows: Tensor) -> Tensor:
        with autocast(setting):
            logits = model(windows)[0]
        return torch.sigmoid(logits.float())

    probabilities = compiled(forward)

    def turn() -> float:
        started = finished()
        with torch.inference_mode():
            sliding_window(probabilities, images, crop, stride)
        return finished() - started

    turn()
    return turn


def sliding_window(
    probabilities: Callable[[Tensor], Tensor], images: list[np.ndarray], crop: int, stride: int
) -> list[np.ndarray]:
    """Mean of the windows' probabilities, float32 (height, width) an image; windows are batched across images.

    Images must be as large as a window at least.
    """
    inputs = [normalised(image[None])[0] for image in images]
    totals = [torch.zeros(image.shape[:2], device=device()) for image in images]
    counts = [torch.zeros(image.shape[:2], device=device()) for image in images]
    places = [
        (number, slice(top, top + crop), slice(left, left + crop))
        for number, image in enumerate(images)
        for top in _starts(image.shape[0], crop, stride)
        for left in _starts(image.shape[1], crop, stride)
    ]
    for start in range(0, len(places), WINDOWS):
        group = places[start : start + WINDOWS]
        windows = torch.stack([inputs[number][:, rows, columns] for number, rows, columns in group])
        predicted = probabilities(windows.contiguous(memory_format=torch.channels_last))
        for (number, rows, columns), window in zip(group, predicted, strict=True):
            totals[number][rows, columns] += window[0]
            counts[number][rows, columns] += 1
    return [(total / count).cpu().numpy() for total, count in zip(totals, counts, strict=True)]


def _starts(length: int, crop: int, stride: int) -> list[int]:
    regular = list(range(0, length - crop + 1, stride))
    return regular if regular[-1] == length - crop else [*regular, length - crop]


def normalised(pixels: np.ndarray) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) on the device, channels_last in memory."""
    images = torch.tensor(pixels, device=device()).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values, device=device())[:, None, None] for values in (material.MEAN, material.STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def cut(setting: dict[str, Any]) -> Turn:
    """Seconds to cut, rotate and flip `cuts` batches of crops and their masks, by two calls of `grid_sample` each.

    All that they are cut by lies on the device.
    """
    side, batch = setting["side"], setting["batch"]
    pixels, masks, _ = material.stack(batch, 2 * side)  # an image for each crop
    images = torch.tensor(pixels, device=device()).permute(0, 3, 1, 2).float()
    truth = torch.tensor(masks, device=device())[:, None].float()
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, batch)
    turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    centre = rng.uniform(side / 2, 1.5 * side, (batch, 2))
    ready = (images, truth, *sights(centre, turned, images))
    stay_in_place(*ready)
    cut_crops = compiled(crops)

    def turn() -> float:
        started = finished()
        for _ in range(setting["cuts"]):
            begin_step()
            cut_crops(*ready, side)
        return finished() - started

    turn()
    return turn


def sights(centre: np.ndarray, matrix: np.ndarray, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`centre`, `matrix` and `last` of `crops`, where the images are."""

    def placed(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=images.device)

    return placed(centre), placed(matrix), placed(np.array(images.shape[2:]) - 1)


def crops(
    images: Tensor, truth: Tensor, centre: Tensor, matrix: Tensor, last: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """Crops (B, 3, side, side), bilinear, and masks (B, 1, side, side), nearest, reflected at the borders.

    Args:
        images, truth: (B, C, H, W) float32, one for each crop.
        centre: (B, 2) row and column; matrix: (B, 2, 2) from offsets in the crop to offsets in the image.
        last: (2,) row and column of the images.
    """
    offset = torch.arange(side, dtype=torch.float32, device=images.device) - (side - 1) / 2
    grid = torch.stack(torch.meshgrid(offset, offset, indexing="ij"), -1)  # rows, columns
    place = torch.einsum("bij,hwj->bhwi", matrix, grid) + centre[:, None, None]
    where = (2 * place / last - 1).flip(-1)  # columns come first
    return (
        functional.grid_sample(images, where, "bilinear", "reflection", align_corners=True),
        functional.grid_sample(truth, where, "nearest", "reflection", align_corners=True),
    )


def read_weights(setting: dict[str, Any]) -> Turn:
    """Seconds to read a checkpoint and to copy it into a module that stands ready."""
    model, file = ResNet(setting["depth"], round(64 * setting["width"]), classes=1000), Path(setting["file"])
    return warmed(lambda: model.load_state_dict(torch.load(file, weights_only=True, map_location="cpu")))
