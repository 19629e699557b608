"""ResNet 18 to 152 as torchvision lays it out (stride in the 3x3 convolution), without the classifier."""

from flax import nnx
from jax import Array

from jaxseg.models.architecture import BLOCKS, block_shapes, expansion, stage_channels
from jaxseg.models.layers import BatchNorm, Conv, max_pool, relu


class Stem(nnx.Module):
    """7x7 convolution at stride 2, normalised, ReLU; the max-pool stands in `ResNet`."""

    def __init__(self, channels: int) -> None:
        self.conv = Conv(3, channels, 7, stride=2)
        self.bn = BatchNorm(channels)

    def __call__(self, images: Array, train: bool) -> Array:
        return relu(self.bn(self.conv(images), train))


class Block(nnx.Module):
    """Residual block: convolutions `conv1`..`conv3` (or `conv2`) with `bn*`, and a projection where shapes differ."""

    def __init__(self, inputs: int, inner: int, stride: int, depth: int) -> None:
        outputs = inner * expansion(depth)
        shapes = block_shapes(inputs, inner, stride, depth)
        self.length = len(shapes)
        for number, (before, after, size, step) in enumerate(shapes, start=1):
            setattr(self, f"conv{number}", Conv(before, after, size, step))
            setattr(self, f"bn{number}", BatchNorm(after))
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.downsample_conv = Conv(inputs, outputs, 1, stride)
            self.downsample_bn = BatchNorm(outputs)

    def __call__(self, x: Array, train: bool) -> Array:
        out = x
        for number in range(1, self.length + 1):
            out = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(out), train)
            if number < self.length:
                out = relu(out)
        shortcut = self.downsample_bn(self.downsample_conv(x), train) if self.projects else x
        return relu(out + shortcut)


class Stage(nnx.Module):
    """A sequence of blocks `block0`, `block1`, …; the first changes resolution and channels."""

    def __init__(self, inputs: int, inner: int, blocks: int, stride: int, depth: int) -> None:
        self.blocks = blocks
        for number in range(blocks):
            first = number == 0
            block = Block(inputs if first else inner * expansion(depth), inner, stride if first else 1, depth)
            setattr(self, f"block{number}", block)

    def __call__(self, x: Array, train: bool) -> Array:
        for number in range(self.blocks):
            x = getattr(self, f"block{number}")(x, train)
        return x


class ResNet(nnx.Module):
    """Encoder: images (B, H, W, 3) -> [stem /2, stage1 /4, stage2 /8, stage3 /16, stage4 /32]."""

    def __init__(self, depth: int, width: float) -> None:
        channels = stage_channels(depth, width)
        self.stem = Stem(channels[0])
        inputs = channels[0]
        for number, blocks in enumerate(BLOCKS[depth], start=1):
            inner = channels[0] * 2 ** (number - 1)
            stage = Stage(inputs, inner, blocks, 1 if number == 1 else 2, depth)
            setattr(self, f"stage{number}", stage)
            inputs = channels[number]

    def __call__(self, images: Array, train: bool) -> list[Array]:
        maps = [self.stem(images, train)]
        x = max_pool(maps[0])
        for number in range(1, 5):
            x = getattr(self, f"stage{number}")(x, train)
            maps.append(x)
        return maps
