"""UMAP of three layers: what the weights still share after training."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxseg.analysis.embedding import Embedding
from jaxseg.analysis.feature_vectors import LAYERS
from jaxseg.analysis.figures.style import Look, broken, clear_ticks, drawing, legend_below, looks, panels
from jaxseg.config import Study

MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*", "<", ">", "h", "d")  # by test dataset


def umap_panels(study: Study, embeddings: Sequence[Embedding]) -> Figure:
    """Rows: training datasets; columns: layers; colour: weights; marker: test dataset of the patch."""
    styles = looks(study.weights)
    datasets = list(dict.fromkeys(embedding.trained_on for embedding in embeddings))
    tests = list(dict.fromkeys(str(name) for name in embeddings[0].tested_on))
    markers = {name: MARKERS[number % len(MARKERS)] for number, name in enumerate(tests)}
    with drawing(9.0, 2.9 * len(datasets) + 0.6) as figure:
        axes = panels(figure, len(datasets), len(LAYERS))
        for embedding in embeddings:
            axis = axes[datasets.index(embedding.trained_on), list(LAYERS).index(embedding.layer)]
            _scatter(axis, embedding, markers, styles)
            clear_ticks(axis)
            axis.set_title(f"{LAYERS[embedding.layer]}\n{embedding.layer}", fontsize=9)
        for row, dataset in enumerate(datasets):
            axes[row, 0].set_ylabel(broken(f"trained on {dataset}", 2.7, 9))
        colours = [
            Line2D([], [], label=name, color=look.colour, marker="o", linestyle="") for name, look in styles.items()
        ]
        kinds = [
            Line2D([], [], label=f"patch of {name}", color="#333333", marker=marker, linestyle="", markersize=5)
            for name, marker in markers.items()
        ]
        legend_below(figure, [*colours, *kinds])
    return figure


def _scatter(axis: Axes, embedding: Embedding, markers: dict[str, str], styles: dict[str, Look]) -> None:
    shuffled = np.random.default_rng(0).permutation(len(embedding.points))  # so that no weights lie on top
    for name, marker in markers.items():
        order = shuffled[embedding.tested_on[shuffled] == name]
        colours = [styles[str(weights)].colour for weights in embedding.weights[order]]
        x, y = embedding.points[order].T
        axis.scatter(x, y, s=11, c=colours, marker=marker, linewidths=0, alpha=0.65)
