"""A trained run back to PyTorch and onward: each file's logits are compared with ours before it is kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxseg.errors import UsageError
from jaxseg.files import write_bytes, write_json
from jaxseg.inference.trained import TrainedModel, load
from jaxseg.models import golden
from jaxseg.models.architecture import decoder_channels
from jaxseg.storage import arrays
from weights_convert import forward
from weights_convert.comparison import refuse_disagreement, relative_difference
from weights_convert.extra import check_onnx, check_torch
from weights_convert.mapping import UNET, Tensors, to_torch

ONNX = ".onnx"
FORMATS = (".pth", ".pt", ".safetensors", ONNX)


@dataclass(frozen=True)
class Exported:
    """Where an export lies, and how far the logits that `judge` computes are from ours, relative to the largest."""

    file: Path
    tensors: int
    judge: str
    difference: float


def export(run: Path, out: Path, budget: int | None = None) -> Exported:
    """Write the best model of a run as `out`, with `<out>.json` beside it: run, architecture, statistics, licence.

    Args:
        run: folder of a run.
        out: a .pth, .pt or .safetensors file, whose tensors load strictly into the common PyTorch U-Net, or a .onnx
            file, whose `images` are normalised (batch, 3, height, width) and `logits` (batch, classes, height, width).
        budget: epochs of the budget whose best model is taken; default: the best of the whole run.

    Raises:
        InputError: the run or its checkpoint is missing or damaged, or the file computes other logits.
        UsageError: an unknown format, a budget that the run does not keep, or the extra `convert` is missing.
    """
    if out.suffix not in FORMATS:
        raise UsageError("unknown format", file=out, found=repr(out.suffix), expected=", ".join(FORMATS))
    (check_onnx if out.suffix == ONNX else check_torch)("export: every export is compared with it")
    model = load(run, budget)
    tree = {"params": model.params, "stats": model.stats}
    about = describe(model, budget)
    content = serialise(to_torch(tree, UNET), out.suffix, about)
    judge = "onnxruntime" if out.suffix == ONNX else "PyTorch"
    image = golden.image()
    difference = relative_difference(
        forward.unet(model.run.recipe.model, tree, image), logits(content, out.suffix, image)
    )
    refuse_disagreement({"logits": difference}, out, judge)
    write_bytes(out, content)
    compared = {"compared_with": judge, "largest_relative_difference_of_logits": difference}
    write_json(out.with_name(f"{out.name}.json"), about | compared)
    return Exported(out, len(arrays.shapes(tree)), judge, difference)


def describe(model: TrainedModel, budget: int | None) -> dict[str, Any]:
    """What the receiver of an export must know: how to build the model, how to normalise, whose it is."""
    config = model.run.recipe.model
    return {
        "run": model.run.run_id,
        "budget": budget or model.run.recipe.budgets[-1],
        "depth": config.depth,
        "width": config.width,
        "decoder": decoder_channels(config.decoder, config.width),
        "classes": config.classes,
        "weights": model.weights,
    }


def serialise(tensors: Tensors, suffix: str, about: dict[str, Any]) -> bytes:
    """Content of a file of that format."""
    if suffix == ONNX:
        from weights_convert import onnx_graph

        return onnx_graph.serialise(tensors, about)
    from weights_convert import state_dict

    return state_dict.serialise(tensors, suffix)


def logits(content: bytes, suffix: str, images: np.ndarray) -> np.ndarray:
    """Logits (B, H, W, classes) of normalised images (B, H, W, 3), by the framework that the file is for."""
    if suffix == ONNX:
        from weights_convert import onnx_graph

        return onnx_graph.logits(content, images)
    from weights_convert import reference, state_dict

    return reference.unet(state_dict.parse(content, suffix), images)
