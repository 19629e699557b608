"""Test images with the outlines of the annotation and of every weights' prediction."""

from collections.abc import Sequence

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from jaxseg.analysis.examples import Example
from jaxseg.analysis.figures.style import broken, clear_ticks, drawing, legend_below, panels

TRUTH = "#FFFFFF"
PREDICTION = "#F0E442"  # Okabe & Ito's yellow: bright on the blues, purples and pinks of stained tissue
HALO = "#111111"


def overlays(examples: Sequence[Example]) -> Figure:
    """Rows: images; first column: annotation alone; then one column per weights."""
    names = list(examples[0].predictions)
    columns = 1 + len(names)
    ratios = [example.truth.shape[0] / example.truth.shape[1] for example in examples]
    width = min(11.0, max(5.0, 2.4 * columns))
    named = [*names, *(example.image for example in examples)]
    heads = 0.165 * max(len(_head(name, "", width / columns).split("\n")) for name in named)
    height = sum(width / columns * ratio + heads for ratio in ratios) + 0.5
    with drawing(width, height) as figure:
        axes = panels(figure, len(examples), columns, height_ratios=ratios)
        for row, example in zip(axes, examples, strict=True):
            _show(row[0], example, None)
            head = _head(example.image, example.why, width / columns)
            row[0].set_title(head, fontsize=8, fontweight="normal")
            for axis, name in zip(row[1:], names, strict=True):
                _show(axis, example, example.predictions[name])
                head = _head(name, f"Dice {example.dice[name]:.3f}", width / columns)
                axis.set_title(head, fontsize=8, fontweight="normal")
        legend_below(figure, [_key("annotation", TRUTH), _key("prediction", PREDICTION)])
    return figure


def _head(name: str, below: str, inches: float) -> str:
    return f"{broken(name, inches, 8)}\n{below}"


def _key(label: str, colour: str) -> Line2D:
    return Line2D([], [], color=colour, linewidth=2, label=label, path_effects=_halo(3.6))


def _halo(width: float) -> list[effects.AbstractPathEffect]:
    return [effects.Stroke(linewidth=width, foreground=HALO), effects.Normal()]


def _show(axis: Axes, example: Example, prediction: NDArray[np.bool_] | None) -> None:
    axis.imshow(example.pixels, interpolation="none")
    outline(axis, example.truth, TRUTH, 1.3)
    if prediction is not None:
        outline(axis, prediction, PREDICTION, 1.3)
    clear_ticks(axis)
    for spine in axis.spines.values():
        spine.set_visible(False)


def outline(axis: Axes, mask: NDArray[np.bool_], colour: str, width: float) -> None:
    """Draw the border of a mask; a mask that touches the image's edge is closed along it."""
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(float)
    height, across = padded.shape
    lines = axis.contour(
        np.arange(across) - 1, np.arange(height) - 1, padded, levels=[0.5], colors=colour, linewidths=width
    )
    lines.set_path_effects(_halo(width + 1.2))
    axis.set_xlim(-0.5, across - 2.5)
    axis.set_ylim(height - 2.5, -0.5)
