"""A trained run back to PyTorch: a state_dict of the common U-Net layout, checked against our own logits."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxseg import arrays
from jaxseg.arrays import Tree
from jaxseg.config import ModelConfig
from jaxseg.errors import InputError, UsageError
from jaxseg.files import read_json, write_bytes, write_json
from jaxseg.models.unet import network
from jaxseg.run_folder import RunFolder
from weights_convert import forward
from weights_convert.extra import check_torch
from weights_convert.mapping import UNET, to_torch
from weights_convert.receipt import refuse_disagreement, relative_difference

FORMATS = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class Exported:
    """Where an export lies and how far PyTorch's logits are from ours, relative to the largest."""

    file: Path
    tensors: int
    difference: float


def export(run: Path, out: Path, budget: int | None = None) -> Exported:
    """Write the best model of a run as `out`, with `<out>.json` beside it: run, architecture, statistics, licence.

    Args:
        run: folder of a run.
        out: a .pth, .pt or .safetensors file; its tensors load strictly into the common PyTorch U-Net.
        budget: epochs of the budget whose best model is taken; default: the best of the whole run.

    Raises:
        InputError: the run or its checkpoint is missing or damaged, or PyTorch computes other logits.
        UsageError: an unknown format, or PyTorch is missing.
    """
    if out.suffix not in FORMATS:
        raise UsageError("unknown format", file=out, found=repr(out.suffix), expected=", ".join(FORMATS))
    check_torch("export: every export is compared with it")
    folder = RunFolder(run)
    config = folder.config().recipe.model
    checkpoint = folder.checkpoints / ("best" if budget is None else f"epochs-{budget:06d}")
    tree = read_model(checkpoint, config)
    content = serialise(to_torch(tree, UNET), out.suffix)
    difference = _difference(content, out, config, tree)
    about = {
        "run": folder.config().run_id,
        "checkpoint": checkpoint.name,
        "depth": config.depth,
        "width": config.width,
        "classes": config.classes,
        "weights": read_json(folder.weights, remedy="give the folder of a run that was trained"),
        "largest_relative_difference_of_logits": difference,
    }
    write_bytes(out, content)
    write_json(out.with_name(f"{out.name}.json"), about)
    return Exported(out, len(arrays.shapes(tree)), difference)


def read_model(checkpoint: Path, config: ModelConfig) -> Tree:
    """Parameters and running statistics of a whole U-Net; `InputError` where they are missing or do not fit."""
    if not checkpoint.is_dir():
        raise InputError(
            "no such checkpoint",
            file=checkpoint,
            found=", ".join(sorted(path.name for path in checkpoint.parent.glob("[a-z]*"))) or "no checkpoints",
            remedy="train the run first, or choose another --budget",
        )
    tree, _ = arrays.load(checkpoint)
    model: Tree = {key: value for key, value in tree.items() if key in ("params", "stats")}
    shapes = network(config)
    arrays.check_shapes(model, {"params": shapes.params, "stats": shapes.stats}, checkpoint)
    return model


def serialise(tensors: dict[str, np.ndarray], suffix: str) -> bytes:
    """A file's content. PyTorch's counter of batches is added as 0, so that loading may be strict."""
    import torch

    counters = {
        name.removesuffix("running_var") + "num_batches_tracked": np.zeros((), np.int64)
        for name in tensors
        if name.endswith(".running_var")
    }
    everything = {name: torch.tensor(x) for name, x in (tensors | counters).items()}
    if suffix == ".safetensors":
        from safetensors.torch import save

        return save(everything)
    stream = io.BytesIO()
    torch.save(everything, stream)
    return stream.getvalue()


def parse(content: bytes, suffix: str) -> dict[str, np.ndarray]:
    """The inverse of `serialise`."""
    import torch

    if suffix == ".safetensors":
        from safetensors.torch import load

        return {name: x.numpy() for name, x in load(content).items()}
    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {name: x.numpy() for name, x in loaded.items()}


def _difference(content: bytes, out: Path, config: ModelConfig, tree: Tree) -> float:
    """Relative difference of the logits of PyTorch, from the serialised file, and ours; refuses a large one."""
    from weights_convert import reference

    image = forward.image()
    theirs = reference.unet(parse(content, out.suffix), image)
    difference = relative_difference(forward.unet(config, tree, image), theirs)
    refuse_disagreement({"logits": difference}, out)
    return difference
