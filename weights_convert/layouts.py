"""Which checkpoint is this? Recognised from the names in the file, never from the file's own name.

`read` joins nested dictionaries by "/", so one prefix says both where the encoder lies and how its names begin.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxseg.errors import InputError
from jaxseg.models.architecture import BLOCKS, STEM_CHANNELS, expansion
from jaxseg.wording import counted, listed
from weights_convert.mapping import Tensors

Reasons = tuple[tuple[str, str], ...]  # pattern of whole names -> why they are left out


@dataclass(frozen=True)
class Layout:
    """A place where ResNets are found: what their names begin with, and what else stands beside them."""

    name: str
    prefix: str
    dropped: Reasons = ()


_TRAINING: Reasons = (
    (r"(optimizer|optimizer_states|optimizers|lr_schedulers|scaler|loops|callbacks)/.+", "state of the training"),
    (r"(ema|state_dict_ema|model_ema)/.+", "moving average of the weights"),
)
_SIAMESE: Reasons = (
    (r"model/module\.(projector|bn)\..+", "projector of the self-supervised loss"),
    (r"model/module\.backbone\.fc\..+", "classifier"),
)
_MOCO: Reasons = (
    (r"state_dict/module\.encoder_k\..+", "moving average of the encoder"),
    (r"state_dict/module\.queue(_ptr)?", "queue of negative examples"),
    (r"state_dict/module\.predictor\..+", "predictor of the self-supervised loss"),
)
_SWAV: Reasons = (
    (r"module\.projection_head\..+", "projector of the self-supervised loss"),
    (r"module\.prototypes.*", "prototypes of the self-supervised loss"),
)
_DINO: Reasons = (
    (r"teacher/(module\.)?head\..+", "head of the self-supervised loss"),
    (r"(student|dino_loss)/.+", "the student and its loss; the teacher is taken"),
)


def _decoder(prefix: str) -> Reasons:
    reason = "decoder of the U-Net; an encoder is taken"
    return ((rf"{re.escape(prefix)}(decoder|segmentation_head|classification_head)\..+", reason),)


LAYOUTS = (
    Layout("plain", ""),
    Layout("plain, DataParallel or SwAV", "module.", _SWAV),
    Layout("plain below state_dict", "state_dict/"),
    Layout("plain below model", "model/"),
    Layout("DataParallel below state_dict", "state_dict/module."),
    Layout("Barlow Twins or VICReg, full checkpoint", "model/module.backbone.", _SIAMESE),
    Layout("MoCo", "state_dict/module.encoder_q.", _MOCO),
    Layout("DINO, full checkpoint", "teacher/backbone.", _DINO),
    Layout("DINO, full checkpoint, DataParallel", "teacher/module.backbone.", _DINO),
    Layout("SimCLR of Ciga et al.", "state_dict/model.resnet."),
    Layout("Lightning, model", "state_dict/model."),
    Layout("Lightning, backbone", "state_dict/backbone."),
    Layout("U-Net", "encoder.", _decoder("")),
    Layout("U-Net below state_dict", "state_dict/encoder.", _decoder("state_dict/")),
    Layout("U-Net in Lightning", "state_dict/model.encoder.", _decoder("state_dict/model.")),
)
_SIGN = ("conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer4.0.conv1.weight")


@dataclass(frozen=True)
class Recognised:
    """A ResNet found in a file.

    Attributes:
        layout: which of `LAYOUTS`.
        depth, width: as in `ModelConfig`.
        tensors: torchvision name -> array; what stands beside the encoder is gone.
        dropped: name in the file -> reason, for what stands beside the encoder.
    """

    layout: Layout
    depth: int
    width: float
    tensors: dict[str, np.ndarray]
    dropped: dict[str, str]


def recognise(tensors: Tensors, file: Path) -> Recognised:
    """Find the ResNet among the tensors of a file; `InputError` where there is none, or more than one."""
    found = [layout for layout in LAYOUTS if all(layout.prefix + name in tensors for name in _SIGN)]
    if len(found) != 1:
        raise InputError(
            "no layout fits" if not found else "several layouts fit",
            file=file,
            found="; ".join(layout.name for layout in found) or _overview(tensors),
            expected="one ResNet under names that begin with one of: "
            + ", ".join(repr(layout.prefix) for layout in LAYOUTS),
            remedy="save the encoder alone with torchvision's names, or add a row to weights_convert/layouts.py",
        )
    layout = found[0]
    inside = {name.removeprefix(layout.prefix): x for name, x in tensors.items() if name.startswith(layout.prefix)}
    reasons = layout.dropped + _TRAINING
    dropped = {name: reason for name in tensors if (reason := _reason(name, reasons))}
    stray = sorted(tensors.keys() - dropped.keys() - {layout.prefix + name for name in inside})
    if stray:
        raise InputError(
            f"has {counted(len(stray), 'tensor')} that its layout does not explain",
            file=file,
            found=listed(stray),
            expected=f"the tensors of layout '{layout.name}'",
            remedy="remove them from the file, or add them to the row in weights_convert/layouts.py",
        )
    kept = {name: x for name, x in inside.items() if layout.prefix + name not in dropped}
    return Recognised(layout, depth(kept, file), width(kept["conv1.weight"], file), kept, dropped)


def depth(names: Iterable[str], file: Path) -> int:
    """Depth of the ResNet, from its number of blocks in each stage and of convolutions in a block."""
    names = set(names)
    blocks = tuple(len({name.split(".")[1] for name in names if name.startswith(f"layer{s}.")}) for s in range(1, 5))
    convolutions = 3 if "layer1.0.conv3.weight" in names else 2
    for layers, stages in BLOCKS.items():
        if stages == blocks and (expansion(layers) == 4) == (convolutions == 3):
            return layers
    raise InputError(
        "is a ResNet of unknown depth",
        file=file,
        found=f"{blocks} blocks of {convolutions} convolutions",
        expected="; ".join(f"ResNet{layers} {stages}" for layers, stages in BLOCKS.items()),
    )


def width(stem: np.ndarray, file: Path) -> float:
    """Width relative to the published ResNet, from the stem's convolution."""
    if stem.ndim != 4 or not 1 <= stem.shape[0] <= 16 * STEM_CHANNELS:
        raise InputError(
            "has a stem of another kind", file=file, found=f"conv1.weight {stem.shape}", expected="(64, 3, 7, 7)"
        )
    return float(stem.shape[0] / STEM_CHANNELS)


def _reason(name: str, reasons: Reasons) -> str | None:
    return next((reason for pattern, reason in reasons if re.fullmatch(pattern, name)), None)


def _overview(tensors: Tensors) -> str:
    return f"{counted(len(tensors), 'tensor')}: {listed(tensors)}"
