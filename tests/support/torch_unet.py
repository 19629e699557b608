"""The common PyTorch U-Net on a torchvision ResNet, written as modules with the layout's names.

Independent of jaxseg: the tests compare models, gradients and conversions with it.
"""

import torch
from torch import Tensor, nn

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, planes * 4, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """torchvision's ResNet (v1.5), its classifier optional; `stem` channels instead of 64."""

    def __init__(self, depth: int, stem: int, classes: int = 0) -> None:
        super().__init__()
        block: type[BasicBlock] | type[Bottleneck] = Bottleneck if depth >= 50 else BasicBlock
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs, self.channels = stem, [stem]
        for stage, blocks in enumerate(STAGES[depth]):
            planes = stem * 2**stage
            layers = []
            for number in range(blocks):
                layers.append(block(inputs, planes, 2 if stage and not number else 1))
                inputs = planes * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
            self.channels.append(inputs)
        if classes:
            self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(maps[0])
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            maps.append(x)
        return maps


def _conv_bn_relu(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class DecoderBlock(nn.Module):
    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _conv_bn_relu(inputs + skip, outputs)
        self.conv2 = _conv_bn_relu(outputs, outputs)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        return self.conv2(self.conv1(x))


class Decoder(nn.Module):
    def __init__(self, encoder: list[int], outputs: tuple[int, ...]) -> None:
        super().__init__()
        skips = [*encoder[-2::-1], 0]
        inputs = [encoder[-1], *outputs[:-1]]
        self.blocks = nn.ModuleList(map(DecoderBlock, inputs, skips, outputs))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        x, skips, outputs = maps[-1], maps[-2::-1], []
        for number, block in enumerate(self.blocks):
            x = block(x, skips[number] if number < len(skips) else None)
            outputs.append(x)
        return outputs


class TorchUNet(nn.Module):
    """Images (B, 3, H, W) -> logits (B, classes, H, W) and the maps of encoder and decoder by jaxseg's names."""

    def __init__(self, depth: int, stem: int, decoder: tuple[int, ...], classes: int = 1) -> None:
        super().__init__()
        self.encoder = ResNet(depth, stem)
        self.decoder = Decoder(self.encoder.channels, decoder)
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder[-1], classes, 3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        maps = self.encoder(x)
        outputs = self.decoder(maps)
        names = ["stem", "stage1", "stage2", "stage3", "stage4"]
        features = {f"encoder/{name}": x for name, x in zip(names, maps, strict=True)}
        features |= {f"decoder/block{number}": x for number, x in enumerate(outputs, start=1)}
        return self.segmentation_head(outputs[-1]), features
