"""The common PyTorch U-Net as an ONNX graph, made from the names of its tensors; needs no PyTorch.

Written node by node rather than traced: batch normalisation stays a node of its own, tensors keep their names and
bits, and batch, height and width stay free (height and width multiples of 32).
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17  # of 2022: every runtime in use knows it
IR_VERSION = 8
IMAGES, LOGITS = "images", "logits"

Arrays = Mapping[str, np.ndarray]


def serialise(tensors: Arrays, about: Mapping[str, Any]) -> bytes:
    """Content of an .onnx file: `images` float32 (batch, 3, height, width), normalised -> `logits`, same extent.

    Args:
        tensors: by the names of the common PyTorch U-Net.
        about: what the file says of itself: each value as JSON among the model's metadata.
    """
    graph = _Graph(tensors)
    graph.unet()
    axes = ("batch", "height", "width")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "U-Net",
            [_image_like(IMAGES, 3, axes)],
            [_image_like(LOGITS, len(tensors["segmentation_head.0.bias"]), axes)],
            [numpy_helper.from_array(x, name) for name, x in {**tensors, "scales": _DOUBLE}.items()],
        ),
        producer_name="jaxseg",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, {name: json.dumps(value) for name, value in about.items()})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def logits(content: bytes, images: np.ndarray) -> np.ndarray:
    """What onnxruntime computes on the CPU: (B, H, W, classes) of images (B, H, W, 3)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run([LOGITS], {IMAGES: np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
    return np.asarray(found).transpose(0, 2, 3, 1)


_DOUBLE = np.array([1, 1, 2, 2], np.float32)


def _image_like(name: str, channels: int, axes: tuple[str, str, str]) -> Any:
    batch, height, width = axes
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, channels, height, width])


class _Graph:
    """Nodes in the order of computation; every method takes the name of its input and returns that of its output."""

    def __init__(self, tensors: Arrays) -> None:
        self.tensors = tensors
        self.nodes: list[Any] = []

    def unet(self) -> None:
        x, *skips = reversed(self.encoder(IMAGES))
        for number in range(5):
            x = self.decoder_block(number, x, skips[number] if number < len(skips) else None)
        self.conv("segmentation_head.0", x, 1, output=LOGITS)

    def encoder(self, x: str) -> list[str]:
        maps = [self.relu(self.norm("encoder.bn1", self.conv("encoder.conv1", x, 2)))]
        x = self.add("MaxPool", maps[0], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        for stage in range(1, 5):
            block = 0
            while f"encoder.layer{stage}.{block}.conv1.weight" in self.tensors:
                x = self.block(f"encoder.layer{stage}.{block}", x, 2 if stage > 1 and block == 0 else 1)
                block += 1
            maps.append(x)
        return maps

    def block(self, name: str, x: str, stride: int) -> str:
        length = 3 if f"{name}.conv3.weight" in self.tensors else 2
        strided = length - 1  # the 3x3 in the middle of three, the first of two
        y = x
        for number in range(1, length + 1):
            y = self.conv(f"{name}.conv{number}", y, stride if number == strided else 1)
            y = self.norm(f"{name}.bn{number}", y)
            y = self.relu(y) if number < length else y
        if f"{name}.downsample.0.weight" in self.tensors:
            x = self.norm(f"{name}.downsample.1", self.conv(f"{name}.downsample.0", x, stride))
        return self.relu(self.add("Add", x, y))

    def decoder_block(self, number: int, x: str, skip: str | None) -> str:
        nearest = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        x = self.add("Resize", x, "", "scales", **nearest)
        if skip is not None:
            x = self.add("Concat", x, skip, axis=1)
        for part in (1, 2):
            name = f"decoder.blocks.{number}.conv{part}"
            x = self.relu(self.norm(f"{name}.1", self.conv(f"{name}.0", x, 1)))
        return x

    def conv(self, name: str, x: str, stride: int, output: str | None = None) -> str:
        size = self.tensors[f"{name}.weight"].shape[-1]
        parts = [f"{name}.{part}" for part in ("weight", "bias") if f"{name}.{part}" in self.tensors]
        pads = [size // 2] * 4
        return self.add(
            "Conv", x, *parts, output=output, kernel_shape=[size, size], strides=[stride, stride], pads=pads
        )

    def norm(self, name: str, x: str) -> str:
        parts = (f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
        return self.add("BatchNormalization", x, *parts, epsilon=1e-5)

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output
