"""A contact sheet of prepared images with the outlines of their annotation, for a look before training."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxseg.datasets.card import Row
from jaxseg.datasets.loading import Images, instances, open_dataset
from jaxseg.datasets.prepared import prepared_folder
from jaxseg.files import write_bytes
from jaxseg.wording import counted

COLUMNS = 4
OUTLINES = ((0, 255, 0), (0, 255, 255), (255, 255, 0), (255, 128, 0), (0, 128, 255), (255, 255, 255))  # of the classes
WINDOW = 400  # pixels shown of large images, from the middle: outlines vanish when they are shrunk


def preview(name: str, data_dir: Path, count: int = 12) -> Path:
    """Write `<data_dir>/<name>/preview.png` with `count` images spread over both splits; returns its path."""
    from matplotlib.figure import Figure  # a second that only the preview pays
    from matplotlib.lines import Line2D

    dataset, maps = open_dataset(name, data_dir), instances(name, data_dir)
    rows = _spread(dataset.card.images, count)
    lines = -(-len(rows) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 4.2 * lines), layout="constrained")
    axes = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, row in zip(axes, rows, strict=False):
        axis.imshow(_outlined(*_image(dataset.train if row.split == "train" else dataset.test, row), maps[row.id]))
        axis.set_title(title(row), fontsize=9)
    figure.suptitle(dataset.card.title)
    if len(dataset.classes) > 1:
        colours = [OUTLINES[k % len(OUTLINES)] for k in range(len(dataset.classes))]
        lines_of_classes = [Line2D([], [], color=(r / 255, g / 255, b / 255), linewidth=4) for r, g, b in colours]
        figure.legend(lines_of_classes, dataset.classes, loc="outside lower center", ncols=6, facecolor="0.4")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    path = prepared_folder(name, data_dir).parent / "preview.png"
    write_bytes(path, buffer.getvalue())
    return path


def title(row: Row) -> str:
    """What stands above an image: counts are of all of it, also where only its middle is shown."""
    text = f"{row.id} ({row.split})\n{counted(row.objects, 'object')}, {row.foreground:.0%} foreground"
    if max(row.height, row.width) <= WINDOW:
        return text
    return f"{text} in all\nthe middle of {row.height} x {row.width} pixels"


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    """At most `count` rows, evenly spaced."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    return [rows[place] for place in places]


def _image(images: Images, row: Row) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and classes."""
    place = images.ids.index(row.id), slice(row.height), slice(row.width)
    return images.pixels[place], images.masks[place]


def _outlined(pixels: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    from skimage.segmentation import find_boundaries

    top, left = (max(size - WINDOW, 0) // 2 for size in labels.shape)
    window = slice(top, top + WINDOW), slice(left, left + WINDOW)
    drawn = pixels[window].copy()
    edges = find_boundaries(labels[window], mode="inner")
    for value in range(1, int(classes.max()) + 1):
        drawn[edges & (classes[window] == value)] = OUTLINES[(value - 1) % len(OUTLINES)]
    return drawn
