"""What a study will need, without building a model: parameters, arithmetic, disk, time of a crop."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from jaxseg.config import ModelConfig, Recipe
from jaxseg.execution.plan import Plan
from jaxseg.execution.resources import SCALING
from jaxseg.execution.speeds import Speed
from jaxseg.models.architecture import BLOCKS, block_shapes, decoder_channels, stage_channels

# Seconds of training a full ResNet50 U-Net on a 256x256 crop: the part that goes with multiplications, and the part
# that goes with the size of the maps, on CPUs with the root of their channels, since thin ones are slow to work on.
# CPU: two cores, from .33 s at full width and .055 s at an eighth of it (both measured). GPU: an H100 in bfloat16,
# bound by memory, 2,000 crops a second (an expectation).
CPU_MULTIPLY, CPU_MAPS, CPU_CORES = 0.211, 0.119, 2
GPU_MAPS = 1 / 2000
REFERENCE = ModelConfig()
REFERENCE_CROP = 256


@dataclass(frozen=True)
class Layer:
    """A convolution with batch normalisation; `shrink`: side of the image over side of the output map."""

    inputs: int
    outputs: int
    kernel: int
    shrink: int


def layers(model: ModelConfig) -> Iterator[Layer]:
    """All normalised convolutions of the U-Net; the head comes on top."""
    stem, *stages = stage_channels(model.depth, model.width)
    yield Layer(3, stem, 7, 2)
    inputs, shrink = stem, 4  # behind the max-pool
    for stage, (blocks, outputs) in enumerate(zip(BLOCKS[model.depth], stages, strict=True)):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 0 else 1
            yield from _block(inputs, stem * 2**stage, stride, model.depth, shrink)
            inputs, shrink = outputs, shrink * stride
    skips = (*reversed(stages[:-1]), stem, 0)
    for outputs, skip in zip(decoder_channels(model.decoder, model.width), skips, strict=True):
        shrink //= 2
        yield Layer(inputs + skip, outputs, 3, shrink)
        yield Layer(outputs, outputs, 3, shrink)
        inputs = outputs


def _block(inputs: int, inner: int, stride: int, depth: int, shrink: int) -> Iterator[Layer]:
    """`shrink` is that of its input."""
    outputs = inputs
    for before, outputs, kernel, step in block_shapes(inputs, inner, stride, depth):
        shrink *= step
        yield Layer(before, outputs, kernel, shrink)
    if stride != 1 or inputs != outputs:
        yield Layer(inputs, outputs, 1, shrink)


def parameters(model: ModelConfig) -> int:
    """Trained numbers: kernels, scales and offsets of the normalisations, the head with its bias."""
    head = (9 * decoder_channels(model.decoder, model.width)[-1] + 1) * model.classes
    return head + sum(layer.inputs * layer.outputs * layer.kernel**2 + 2 * layer.outputs for layer in layers(model))


def statistics_kept(model: ModelConfig) -> int:
    """Running means and variances."""
    return sum(2 * layer.outputs for layer in layers(model))


def multiplications(model: ModelConfig, crop: int) -> float:
    """Multiply-adds of one forward pass of one crop, without the head."""
    return sum(layer.inputs * layer.outputs * layer.kernel**2 * (crop / layer.shrink) ** 2 for layer in layers(model))


def map_numbers(model: ModelConfig, crop: int) -> float:
    """Numbers in the maps that the convolutions give for one crop."""
    return sum(layer.outputs * (crop / layer.shrink) ** 2 for layer in layers(model))


def disk_needed(plan: Plan, workers: int) -> int:
    """Bytes that the runs still to come will add: models in float32, two `latest` a running run, a megabyte of logs."""
    items = plan.to_come
    if not items:
        return 0
    ended = sum(len(item.run.recipe.budgets) * model_bytes(item.run.recipe.model) + 2**20 for item in items)
    # a `latest` holds the model, both moments of Adam, and the best model so far
    return ended + min(workers, len(items)) * 2 * 4 * max(model_bytes(item.run.recipe.model) for item in items)


def model_bytes(model: ModelConfig) -> int:
    return 4 * (parameters(model) + statistics_kept(model))


def seconds_per_crop(run: Recipe | Speed, gpu: bool, cores: int) -> float:
    """An estimate for runs of a recipe, or for runs that were measured, from figures of other machines."""
    maps = map_numbers(run.model, run.crop) / map_numbers(REFERENCE, REFERENCE_CROP)
    if gpu:
        return GPU_MAPS * maps
    multiply = multiplications(run.model, run.crop) / multiplications(REFERENCE, REFERENCE_CROP)
    area = (run.crop / REFERENCE_CROP) ** 2
    on_two = CPU_MULTIPLY * multiply + CPU_MAPS * area * math.sqrt(maps / area)
    return on_two * (CPU_CORES / cores) ** SCALING
