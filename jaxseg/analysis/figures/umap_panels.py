"""UMAP of three layers: what the weights still share after training."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxseg.analysis.embedding import Embedding
from jaxseg.analysis.feature_vectors import LAYERS
from jaxseg.analysis.figures.style import MARKERS, clear_ticks, drawing, legend_below, looks, panels
from jaxseg.config import Study

HOLLOW = ("o", "^", "s", "D", "v")  # by test dataset; filled with the weights' colour


def umap_panels(study: Study, embeddings: Sequence[Embedding]) -> Figure:
    """Rows: training datasets; columns: layers; colour: weights; marker: test dataset of the patch."""
    styles = looks(study.weights)
    datasets = list(dict.fromkeys(embedding.trained_on for embedding in embeddings))
    tests = list(dict.fromkeys(str(name) for name in embeddings[0].tested_on))
    markers = {name: HOLLOW[number % len(HOLLOW)] for number, name in enumerate(tests)}
    with drawing(9.0, 2.9 * len(datasets) + 0.6) as figure:
        axes = panels(figure, len(datasets), len(LAYERS))
        for embedding in embeddings:
            axis = axes[datasets.index(embedding.trained_on), list(LAYERS).index(embedding.layer)]
            order = np.random.default_rng(0).permutation(len(embedding.points))  # so that no weights lie on top
            for index in order:
                axis.plot(
                    *embedding.points[index],
                    markers[str(embedding.tested_on[index])],
                    color=styles[str(embedding.weights[index])].colour,
                    markersize=3.2,
                    markeredgewidth=0,
                    alpha=0.65,
                )
            clear_ticks(axis)
            axis.set_title(f"{LAYERS[embedding.layer]}\n{embedding.layer}", fontsize=9)
        for row, dataset in enumerate(datasets):
            axes[row, 0].set_ylabel(f"trained on {dataset}")
        colours = [
            Line2D([], [], label=name, color=look.colour, marker=MARKERS[0], linestyle="")
            for name, look in styles.items()
        ]
        kinds = [
            Line2D([], [], label=f"patch of {name}", color="#333333", marker=marker, linestyle="", markersize=5)
            for name, marker in markers.items()
        ]
        legend_below(figure, [*colours, *kinds])
    return figure
