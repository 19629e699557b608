"""U-Net on a ResNet encoder, in the layout of the common PyTorch U-Net so that trained models go back to it."""

import functools

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxseg.config import ModelConfig
from jaxseg.models.architecture import decoder_channels, stage_channels
from jaxseg.models.convolution import convolve, convolve_upsampled, in_dtype_of, of_inputs
from jaxseg.models.functional import Network, split
from jaxseg.models.layers import BatchNorm, Conv, relu
from jaxseg.models.resnet import ResNet

FEATURES = (  # from the images to the logits
    "encoder/stem",
    *(f"encoder/stage{number}" for number in range(1, 5)),
    *(f"decoder/block{number}" for number in range(1, 6)),
)
HEAD = "head"


class DecoderBlock(nnx.Module):
    """Upsample by 2, append the skip, then twice 3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.conv1, self.bn1 = Conv(inputs, outputs, 3), BatchNorm(outputs)
        self.conv2, self.bn2 = Conv(outputs, outputs, 3), BatchNorm(outputs)

    def __call__(self, x: Array, skip: Array | None, train: bool) -> Array:
        deep, beside = of_inputs(in_dtype_of(x, self.conv1.kernel[...]), x.shape[-1])
        x = convolve_upsampled(x, deep)
        if skip is not None:
            x += convolve(skip, beside)
        x = relu(self.bn1(x, train))
        return relu(self.bn2(self.conv2(x), train))


class Decoder(nnx.Module):
    """Five blocks, `block1` the deepest; returns the output of each."""

    def __init__(self, encoder: tuple[int, ...], outputs: tuple[int, ...]) -> None:
        inputs, *skips = reversed(encoder)
        for number, (skip, channels) in enumerate(zip((*skips, 0), outputs, strict=True), start=1):
            setattr(self, f"block{number}", DecoderBlock(inputs + skip, channels))
            inputs = channels

    def __call__(self, maps: list[Array], train: bool) -> list[Array]:
        x, *skips = reversed(maps)
        outputs = []
        for number, skip in enumerate((*skips, None), start=1):
            x = getattr(self, f"block{number}")(x, skip, train)
            outputs.append(x)
        return outputs


class Head(nnx.Module):
    """3x3 convolution with bias to one logit a class, in float32."""

    def __init__(self, inputs: int, classes: int) -> None:
        self.kernel = nnx.Param(jnp.zeros((3, 3, inputs, classes)))
        self.bias = nnx.Param(jnp.zeros(classes))

    def __call__(self, x: Array) -> Array:
        kernel = self.kernel[...]
        return convolve(x.astype(kernel.dtype), kernel) + self.bias[...]


class UNet(nnx.Module):
    """`UNet(...)(images) -> (logits, features)`.

    Images are (B, H, W, 3), normalised, H and W multiples of 32; logits (B, H, W, classes) float32; features a dict
    of the maps `encoder/stem`, `encoder/stage1`..`stage4`, `decoder/block1`..`block5`.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.encoder = ResNet(config.depth, config.width)
        widths = decoder_channels(config.decoder, config.width)
        self.decoder = Decoder(stage_channels(config.depth, config.width), widths)
        self.head = Head(widths[-1], config.classes)

    def __call__(self, images: Array, train: bool = False) -> tuple[Array, dict[str, Array]]:
        maps = self.encoder(images, train)
        outputs = self.decoder(maps, train)
        return self.head(outputs[-1]), dict(zip(FEATURES, [*maps, *outputs], strict=True))


@functools.cache
def network(config: ModelConfig) -> Network:
    """The network of a configuration, whose `apply` gives (logits, features); shapes only, no device memory."""
    return split(nnx.eval_shape(lambda: UNet(config)))
