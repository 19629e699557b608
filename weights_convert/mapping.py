"""torchvision name <-> Flax path, as one table of rows, total in both directions.

Names of the source are torchvision's (`layer1.0.conv2.weight`); Flax paths are those of `jaxseg.models` below `params`
or `stats`, without the prefix `encoder/` for an encoder alone, with it for a whole U-Net.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxseg.errors import InputError
from jaxseg.storage.arrays import Tree, shapes
from jaxseg.wording import counted, listed

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class TensorRule:
    """How a tensor changes its axes on the way to Flax and on the way back."""

    to_flax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


KERNEL = TensorRule(lambda oihw: oihw.transpose(2, 3, 1, 0), lambda hwio: hwio.transpose(3, 2, 0, 1))
SAME = TensorRule(lambda x: x, lambda x: x)


@dataclass(frozen=True)
class Row:
    """One row; `{b}` stands for a whole number, `{n+1}` for one that Flax counts from 1 and PyTorch from 0."""

    torch: str
    flax: str
    rule: TensorRule = SAME


def _norm(torch: str, flax: str) -> tuple[Row, ...]:
    return (
        Row(f"{torch}.weight", f"params/{flax}/scale"),
        Row(f"{torch}.bias", f"params/{flax}/bias"),
        Row(f"{torch}.running_mean", f"stats/{flax}/mean"),
        Row(f"{torch}.running_var", f"stats/{flax}/var"),
    )


ENCODER = (
    Row("conv1.weight", "params/stem/conv/kernel", KERNEL),
    *_norm("bn1", "stem/bn"),
    Row("layer{s}.{b}.conv{c}.weight", "params/stage{s}/block{b}/conv{c}/kernel", KERNEL),
    *_norm("layer{s}.{b}.bn{c}", "stage{s}/block{b}/bn{c}"),
    Row("layer{s}.{b}.downsample.0.weight", "params/stage{s}/block{b}/downsample_conv/kernel", KERNEL),
    *_norm("layer{s}.{b}.downsample.1", "stage{s}/block{b}/downsample_bn"),
)
UNET = (
    *(replace(row, torch=f"encoder.{row.torch}", flax=row.flax.replace("/", "/encoder/", 1)) for row in ENCODER),
    Row("decoder.blocks.{n}.conv{c}.0.weight", "params/decoder/block{n+1}/conv{c}/kernel", KERNEL),
    *_norm("decoder.blocks.{n}.conv{c}.1", "decoder/block{n+1}/bn{c}"),
    Row("segmentation_head.0.weight", "params/head/kernel", KERNEL),
    Row("segmentation_head.0.bias", "params/head/bias"),
)
DROPPED = (
    (r"(.+\.)?num_batches_tracked", "PyTorch's counter of batches; it plays no part at a fixed momentum"),
    (r"fc\..+", "classifier; a segmentation model has none"),
)

_SLOT = re.compile(r"\{(\w)(\+1)?\}")


def _parse(template: str, text: str) -> dict[str, int] | None:
    """Numbers, as PyTorch counts, that give `text` when filled into `template`; None where it does not fit."""
    pieces = _SLOT.split(template)  # literal, slot, "+1" or None, literal, …
    found = re.fullmatch("(0|[1-9][0-9]{0,3})".join(map(re.escape, pieces[::3])), text)
    if found is None:
        return None
    slots = zip(pieces[1::3], pieces[2::3], found.groups(), strict=True)
    return {slot: int(value) - bool(shift) for slot, shift, value in slots}


def _fill(template: str, values: dict[str, int]) -> str:
    return _SLOT.sub(lambda slot: str(values[slot[1]] + bool(slot[2])), template)


def flax_path(name: str, table: tuple[Row, ...]) -> tuple[str, TensorRule] | None:
    """Where a torchvision tensor goes, and how; None for a name that the table does not know."""
    for row in table:
        if (values := _parse(row.torch, name)) is not None:
            return _fill(row.flax, values), row.rule
    return None


def torch_name(path: str, table: tuple[Row, ...]) -> tuple[str, TensorRule]:
    """The torchvision tensor that fills a Flax leaf, and how; the table knows every leaf."""
    for row in table:
        if (values := _parse(row.flax, path)) is not None:
            return _fill(row.torch, values), row.rule
    raise KeyError(path)


def reason_to_drop(name: str) -> str | None:
    """Why a torchvision tensor has no place in a segmentation model; None where it has one or is unknown."""
    return next((reason for pattern, reason in DROPPED if re.fullmatch(pattern, name)), None)


@dataclass(frozen=True)
class Mapped:
    """Flax arrays with the account of every source tensor."""

    tree: Tree
    used: dict[str, str]
    dropped: dict[str, str]


def to_flax(tensors: Tensors, like: Tree, table: tuple[Row, ...], file: Path) -> Mapped:
    """Fill a tree of the shapes `like` with float32 copies of torchvision tensors.

    Raises:
        InputError: a tensor is missing, surplus, of another shape, not floating, or not finite; `file` is named.
    """
    expected = shapes(like)
    dropped = {name: reason for name in tensors if (reason := reason_to_drop(name))}
    paths = {name: flax_path(name, table) for name in tensors if name not in dropped}
    used = {name: found[0] for name, found in paths.items() if found and found[0] in expected}
    _refuse("that the model has no place for", sorted(paths.keys() - used.keys()), file)
    _refuse("missing", missing(expected, used.values(), table), file)
    leaves: dict[str, np.ndarray] = {}
    wrong = []
    for name, path in used.items():
        rule = torch_name(path, table)[1]
        if problem := _problem(tensors[name], expected[path], rule, path):
            wrong.append(f"{name}: {problem}")
        elif not wrong:
            leaves[path] = np.array(rule.to_flax(tensors[name]), np.float32, order="C")
    _refuse("that cannot be used", wrong, file)
    return Mapped(unflatten_dict(leaves, sep="/"), used, dropped)


def missing(expected: Iterable[str], filled: Iterable[str], table: tuple[Row, ...]) -> list[str]:
    """torchvision names of the Flax leaves that nothing fills."""
    return [torch_name(path, table)[0] for path in sorted(set(expected) - set(filled))]


def to_torch(tree: Tree, table: tuple[Row, ...]) -> dict[str, np.ndarray]:
    """The inverse of `to_flax`: every leaf under its torchvision name, the same bits."""
    tensors = {}
    for path, leaf in flatten_dict(tree, sep="/").items():
        name, rule = torch_name(path, table)
        tensors[name] = np.ascontiguousarray(rule.to_torch(np.asarray(leaf)))
    return tensors


def _refuse(problem: str, names: list[str], file: Path) -> None:
    if names:
        raise InputError(
            f"{counted(len(names), 'tensor')} {problem}",
            file=file,
            found=listed(names),
            expected="a plain ResNet of depth 18, 34, 50, 101 or 152 with torchvision's names and shapes",
            remedy="look at it with: python -m weights_convert inspect FILE",
        )


def _problem(tensor: np.ndarray, shape: tuple[int, ...], rule: TensorRule, path: str) -> str | None:
    """Why a tensor cannot fill a leaf of this shape; checks the shape before it reads any number."""
    wanted = rule.to_torch(np.broadcast_to(np.float32(0), shape)).shape
    if tensor.shape != wanted:
        return f"shape {tensor.shape}, expected {wanted}"
    if tensor.dtype not in (np.float32, np.float16):
        return f"type {tensor.dtype}, expected float32"
    if not np.isfinite(tensor).all():
        return f"{np.count_nonzero(~np.isfinite(tensor))} values are not finite"
    if path.endswith("/var") and (tensor < 0).any():
        return "a variance is negative"
    return None
