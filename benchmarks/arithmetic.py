"""Multiplications and additions of a compiled program's convolutions and products of matrices, read from its text."""

import math
import re
from collections.abc import Sequence

Sides = tuple[int, ...]

WINDOW = re.compile(r"window=\{([^}]*)\}")
LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
CONTRACTED = re.compile(r'lhs_contracting_dim\w*"?[=:][\[{]([\d",]*)')
INPUT_GRADIENT, KERNEL_GRADIENT = "convBackwardInput", "convBackwardFilter"  # in the names of cuDNN's calls


def flop(rest: str, result: Sides, operands: Sequence[Sides]) -> int:
    """Of one instruction; 0 if it is neither a convolution nor a product of matrices.

    Products with what padding or dilation puts in are not counted: they change nothing.

    Args:
        rest: the instruction's text after its opcode.
        result: sides of its first result. operands: sides of each.
    """
    if (labels := LABELS.search(rest)) and (window := WINDOW.search(rest)):
        return _convolution(rest, labels, window[1], result, operands)
    if contracted := CONTRACTED.search(rest):
        axes = [int(axis) for axis in re.findall(r"\d+", contracted[1])]
        return 2 * math.prod(result) * math.prod(operands[0][axis] for axis in axes)
    return 0


def _convolution(rest: str, labels: re.Match[str], window: str, result: Sides, operands: Sequence[Sides]) -> int:
    """cuDNN's calls for gradients bear the labels and the window of the convolution that they belong to."""
    images, kernel, output = operands[0], operands[1], result
    if INPUT_GRADIENT in rest:
        images, output = result, operands[0]
    elif KERNEL_GRADIENT in rest:
        kernel, output = result, operands[1]
    of_images, of_kernel, of_output = (
        dict(zip(*pair, strict=True)) for pair in zip(labels.groups(), (images, kernel, output), strict=True)
    )
    axes = sorted(label for label in of_output if label.isdigit())
    places = math.prod(
        _places(of_images[axis], of_output[axis], *_axis(window, number)) for number, axis in enumerate(axes)
    )
    return 2 * of_output["b"] * of_output["f"] * of_kernel["i"] * places


def _axis(window: str, number: int) -> tuple[int, int, int, int, int]:
    """Taps, stride, padding before, dilation of the images and of the kernel along one axis of a window."""

    def value(name: str, default: str) -> str:
        found = re.search(rf"(?:^| ){name}=(\S+)", window)
        return found[1].split("x")[number] if found else default

    before = int(value("pad", "0_0").split("_")[0])
    return (
        int(value("size", "1")),
        int(value("stride", "1")),
        before,
        int(value("lhs_dilate", "1")),
        int(value("rhs_dilate", "1")),
    )


def _places(images: int, output: int, taps: int, stride: int, before: int, dilation: int, kernel_dilation: int) -> int:
    """How often along an axis a tap meets a pixel of the images, over all places of the output."""
    positions = (place * stride + tap * kernel_dilation - before for place in range(output) for tap in range(taps))
    return sum(0 <= position <= (images - 1) * dilation and position % dilation == 0 for position in positions)
