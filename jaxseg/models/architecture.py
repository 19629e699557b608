"""The sizes of the networks in numbers, for what builds them and for what only counts: loads no JAX, nor `config`."""

from typing import Final

BLOCKS: Final = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STEM_CHANNELS: Final = 64
NARROWEST: Final = 8  # channels of a decoder block that `width` does not go below


def expansion(depth: int) -> int:
    """Output channels of a block relative to its inner width."""
    return 4 if depth >= 50 else 1


def stage_channels(depth: int, width: float) -> tuple[int, ...]:
    """Channels after the stem and the four stages."""
    stem = round(STEM_CHANNELS * width)
    return (stem, *(stem * 2**stage * expansion(depth) for stage in range(4)))


def block_shapes(inputs: int, inner: int, stride: int, depth: int) -> list[tuple[int, int, int, int]]:
    """Input channels, output channels, kernel and stride of a block's convolutions, without the projection."""
    outputs = inner * expansion(depth)
    if depth >= 50:
        return [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)]
    return [(inputs, inner, 3, stride), (inner, outputs, 3, 1)]


def decoder_channels(decoder: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Channels of the decoder blocks, from the deepest; `decoder` holds those at width 1."""
    return tuple(max(NARROWEST, round(channels * width)) for channels in decoder)
