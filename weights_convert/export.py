"""A trained run back to PyTorch: a state_dict of the common U-Net layout, checked against our own logits."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxseg import arrays
from jaxseg.arrays import Tree
from jaxseg.config import ModelConfig
from jaxseg.errors import UsageError
from jaxseg.files import write_bytes, write_json
from jaxseg.inference.trained import load
from jaxseg.models.unet import decoder_channels
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
        UsageError: an unknown format, a budget that the run does not keep, or PyTorch is missing.
    """
    if out.suffix not in FORMATS:
        raise UsageError("unknown format", file=out, found=repr(out.suffix), expected=", ".join(FORMATS))
    check_torch("export: every export is compared with it")
    model = load(run, budget)
    config = model.run.recipe.model
    tree = {"params": model.params, "stats": model.stats}
    content = serialise(to_torch(tree, UNET), out.suffix)
    difference = _difference(content, out, config, tree)
    about = {
        "run": model.run.run_id,
        "budget": budget or model.run.recipe.budgets[-1],
        "depth": config.depth,
        "width": config.width,
        "decoder": decoder_channels(config),
        "classes": config.classes,
        "weights": model.weights,
        "largest_relative_difference_of_logits": difference,
    }
    write_bytes(out, content)
    write_json(out.with_name(f"{out.name}.json"), about)
    return Exported(out, len(arrays.shapes(tree)), difference)


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
        import safetensors.torch

        return {name: x.numpy() for name, x in safetensors.torch.load(content).items()}
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
