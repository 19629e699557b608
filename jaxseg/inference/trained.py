"""A trained run, opened anywhere: `model = jaxseg.load("studies/demo/runs/<run id>")`."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxseg.compute.device import compiled
from jaxseg.config import ModelConfig, RunConfig
from jaxseg.errors import InputError, UsageError
from jaxseg.files import read_json
from jaxseg.inference.likeliest import foreground
from jaxseg.inference.sliding_window import SlidingWindow, for_inference, in_groups, padded_stack
from jaxseg.input.render import normalise
from jaxseg.input.statistics import Statistics, statistics_of
from jaxseg.models import golden
from jaxseg.models.encoder_weights import EncoderWeights
from jaxseg.models.receipt import Receipt
from jaxseg.models.unet import FEATURES, network
from jaxseg.run_folder import BEST, RunFolder, budget_name
from jaxseg.storage import arrays
from jaxseg.storage.arrays import Tree


@dataclass(frozen=True)
class TrainedModel:
    """The best model of a run within an epoch budget.

    Attributes:
        run: its configuration; weights: what its encoder started from (name, statistics, source, licence).
        about: epochs, step and validation loss of the checkpoint.
        params, stats: float32 NumPy trees.
    """

    run: RunConfig
    weights: dict[str, Any]
    about: dict[str, Any]
    params: Tree = field(repr=False)  # a notebook that shows a model shows what it is, not its numbers
    stats: Tree = field(repr=False)

    @property
    def statistics(self) -> Statistics:
        return statistics_of(self.weights)

    @functools.cached_property
    def folded(self) -> Tree:
        """Parameters for sliding windows, on the device; kept, so that they go there once for all images."""
        return for_inference(self.params, self.stats, self.run.recipe.compute_dtype)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits float32 (B, H, W, classes) and features by name, each (B, h, w, channels).

        Args:
            images: uint8, or float in 0..255, (B, H, W, 3) RGB; H and W multiples of 32.

        Raises:
            UsageError: images of another shape, type or range.
        """
        _check_batch(images)
        logits, features = _forward(self.run.recipe.model)(self.params, self.stats, images, self.statistics)
        return np.asarray(logits), {name: np.asarray(features[name]) for name in FEATURES}  # jit sorts by name

    def probabilities(self, images: Sequence[np.ndarray] | np.ndarray, stride: int | None = None) -> list[np.ndarray]:
        """Foreground classes' probabilities, float32 (h, w, classes), of uint8 (h, w, 3) images of any sizes.

        Args:
            images: several arrays in a list, or one array (n, h, w, 3) of images of one size.
            stride: distance of windows, pixels; the recipe's where not given.

        Raises:
            UsageError: one that is no array or of another shape or type; a stride that leaves out pixels.
        """
        for number, image in enumerate(images):
            _check_image(f"image {number}", image)
        recipe = self.run.recipe
        window = SlidingWindow(
            recipe.model, recipe.crop, recipe.stride if stride is None else stride, recipe.compute_dtype
        )
        groups = in_groups(*padded_stack(list(images)), recipe.crop) if len(images) else ()
        return list(window(self.folded, groups, self.statistics))

    def predict(self, images: Sequence[np.ndarray] | np.ndarray, stride: int | None = None) -> list[np.ndarray]:
        """Probability of foreground of any class, float32 (h, w), by sliding window; see `probabilities`."""
        return [foreground(of_classes) for of_classes in self.probabilities(images, stride)]


def _check_image(what: str, image: object) -> None:
    if not isinstance(image, np.ndarray):
        remedy = "np.asarray(PIL.Image.open(FILE).convert('RGB')) reads one; launch/predict.py takes files"
        raise UsageError(f"{what} is no array", found=type(image).__name__, expected="uint8 (h, w, 3)", remedy=remedy)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        remedy = "predict([image]) takes a single one; give 8-bit RGB, without alpha"
        found = f"{image.dtype} {image.shape}"
        raise UsageError(f"{what} is not RGB", found=found, expected="uint8 (h, w, 3)", remedy=remedy)


def _check_batch(images: object) -> None:
    """Shape, type and range of what `TrainedModel.__call__` is given: a wrong range would only give wrong logits."""
    if not isinstance(images, np.ndarray | Array):
        found = type(images).__name__
        raise UsageError("images are no array", found=found, expected="(B, H, W, 3)", remedy="np.stack(images)")
    sides = images.shape[1:3]
    if images.ndim != 4 or images.shape[3] != 3 or images.size == 0 or any(side % 32 for side in sides):
        raise UsageError(
            "images of an unfit shape",
            found=images.shape,
            expected="(B, H, W, 3) with H and W multiples of 32",
            remedy="crop them, or use predict(), which takes any size",
        )
    if images.dtype == np.uint8:
        return
    floating = jnp.issubdtype(images.dtype, jnp.floating)  # NumPy's does not know bfloat16
    low, high = (float(images.min()), float(images.max())) if floating else (0.0, 0.0)
    if not floating or not 0 <= low <= high <= 255 or 0 < high <= 1:
        raise UsageError(
            "images of another type or range",
            found=f"{images.dtype}" + (f" in {low:g} … {high:g}" if floating else ""),
            expected="uint8, or float in 0 … 255",
            remedy="multiply images in 0 … 1 by 255; convert those of 16 bits to 8",
        )


@functools.cache
def _forward(config: ModelConfig) -> Callable[..., tuple[Array, dict[str, Array]]]:
    net = network(config)

    def forward(params: Tree, stats: Tree, images: Array, statistics: Statistics) -> tuple[Array, dict[str, Array]]:
        inputs = normalise(images.astype(jnp.float32), *statistics)
        (logits, features), _ = net.apply(params, stats, inputs, train=False)
        return logits, features

    return compiled(forward)


def load(path: str | Path, budget: int | None = None) -> TrainedModel:
    """Open the best model of a run, on a machine with or without accelerators.

    Args:
        path: folder of a run.
        budget: epochs; the best model within that budget. None takes the whole run.

    Raises:
        InputError: no run there, no such checkpoint yet, or a damaged one.
        UsageError: the run keeps no such budget.
    """
    folder = RunFolder(Path(path))
    run = folder.config()
    budgets = run.recipe.budgets
    if budget is not None and budget not in budgets:
        expected = " or ".join(map(str, budgets))
        raise UsageError("no such epoch budget", file=folder.path, found=budget, expected=expected)
    name = BEST if budget is None else budget_name(budget, budgets[-1])
    again = f"delete {folder.path} and repeat the command that made it, which trains the run anew"
    if not (folder.checkpoints / name).is_dir():
        if folder.done.exists() or (folder.checkpoints / BEST).is_dir():  # which is written last
            raise InputError(f"has lost its checkpoint {name!r}", file=folder.path, remedy=again)
        remedy = "wait for the run's end, or resume it"
        raise InputError(f"has no checkpoint {name!r} yet", file=folder.path, remedy=remedy)
    shapes = network(run.recipe.model)
    like = {"params": shapes.params, "stats": shapes.stats}
    tree, about = arrays.load(folder.checkpoints / name, like, again)
    return TrainedModel(run, folder.read_weights(), about, tree["params"], tree["stats"])


def keep_encoder(folder: RunFolder, name: str, weights_dir: Path) -> Path:
    """Write the best encoder of a finished run as initial weights `name`, with a receipt."""
    model = load(folder.path)
    checkpoint = folder.checkpoints / BEST
    params, stats = model.params["encoder"], model.stats["encoder"]
    started, config = model.weights, model.run.recipe.model
    receipt = Receipt(
        name=name,
        source=f"encoder of run {model.run.run_id}, which started from {model.run.weights}",
        file=f"{folder.path.name}/checkpoints/{BEST}",
        sha256=read_json(checkpoint / arrays.MANIFEST, remedy=f"delete {folder.path} and train again")["sha256"],
        bytes=sum(file.stat().st_size for file in checkpoint.rglob("*") if file.is_file()),
        layout="jaxseg run",
        depth=config.depth,
        width=config.width,
        mean=tuple(started["mean"]),
        std=tuple(started["std"]),
        statistics_from="the run's own initial weights",
        licence=started["licence"] or "yours; the licence of the training images applies",
        citation=started["citation"] or "",
        address="",
        arrays_sha256="",
        used={f"encoder/{leaf}": leaf for leaf in arrays.shapes({"params": params, "stats": stats})},
        dropped={"decoder/*, head/*": "initial weights are of the encoder alone"},
        filled=len(jax.tree.leaves((params, stats))),
        golden=golden.activations(config.depth, config.width, {"params": params, "stats": stats}),
    )
    return EncoderWeights(params, stats, receipt).write(weights_dir)
