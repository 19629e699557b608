"""Predictions on image files: probabilities, masks and outlines."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rich.progress import track
from skimage.segmentation import find_boundaries

from jaxseg.config import RunConfig
from jaxseg.console import Console
from jaxseg.datasets.image_files import SUFFIXES, read_pixels
from jaxseg.errors import InputError, UsageError
from jaxseg.files import disk_errors, read_errors, write_bytes
from jaxseg.inference.likeliest import foreground, likeliest
from jaxseg.inference.trained import TrainedModel, load
from jaxseg.run_folder import RunFolder
from jaxseg.wording import counted, listed

# What a file beside an image is called after it, and so no image: GlaS's annotations, and what is written here.
RESULTS = ("probability", "mask", "overlay")
COMPANIONS = ("_anno", *(f"_{name}" for name in RESULTS))
SOFTWARE = ("Software", "jaxseg predict")  # text in each PNG written here, by which the next prediction knows it
# Of the Okabe-Ito palette, told apart by colour-blind readers: bluish green, which is seen on pink and purple, first.
OUTLINES = ((0, 158, 115), (240, 228, 66), (86, 180, 233), (230, 159, 0), (213, 94, 0), (0, 114, 178))


def predict_files(
    run: Path, images: Sequence[Path], out: Path, *, threshold: float | None = None, budget: int | None = None
) -> None:
    """Write probability of foreground, mask and overlay of every image below `out`.

    Of a folder all images but annotations and results of others there (see `COMPANIONS`). A mask is 255 where the
    probability reaches the threshold (.5 where none is given); of a model of several classes it holds 0 for background
    and 1, 2, … for them, the likeliest one, as in scoring. Of the files below `out` only such results are replaced.

    Raises:
        InputError: no such run or image, or images that cannot be read; the results of all others are written.
        UsageError: two images would give results of the same name, or one would replace a file of the user's; a
            threshold for a model of several classes.
    """
    if threshold is not None and not 0 < threshold < 1:
        raise UsageError("bad threshold", found=threshold, expected="between 0 and 1")
    files = _files(images)
    _check_names(files)
    _check_replaced(files, out)
    model = load(run, budget)
    classes = model.run.recipe.model.classes
    if threshold is not None and classes > 1:
        problem = f"a threshold is for models of one class, this one has {classes}"
        raise UsageError(problem, file=run, found=threshold, remedy="leave it out: pixels get their likeliest class")
    legend = _legend(RunFolder(run).class_names(), model.run)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    refused: dict[Path, InputError] = {}
    for file in track(files, "predicting", console=Console()):
        try:
            image = read_pixels(file)
        except InputError as error:  # one bad tile of a thousand costs no night
            refused[file] = error
            continue
        _predict_image(model, image, _targets(file, out), threshold)
    done = len(files) - len(refused)
    if done:
        print(f"{counted(done, 'image')} -> {out}")
    if done and classes > 1:
        print(f"masks hold {legend}")
    _raise(refused, len(files))


def _legend(class_names: Sequence[str], run: RunConfig) -> str:
    """Which value stands for what, for instance "0 background, 1 gland, 2 lumen"."""
    if class_names:
        return ", ".join(f"{value} {name}" for value, name in enumerate(("background", *class_names)))
    return f"1 … {run.recipe.model.classes} for the classes of dataset {run.dataset}, in their order there"


def _raise(refused: dict[Path, InputError], images: int) -> None:
    if images == 1:
        for error in refused.values():
            raise error
    if refused:
        lines = [f"{len(refused)} of {images} images have no results, since they cannot be read:"]
        raise InputError("\n".join([*lines, *map(str, refused.values())]))


def _predict_image(model: TrainedModel, image: np.ndarray, targets: list[Path], threshold: float | None) -> None:
    (of_classes,) = model.probabilities([image])
    probability = foreground(of_classes)
    classes = likeliest(of_classes) if threshold is None else (probability >= threshold).astype(np.uint8)
    results = (
        np.round(255 * probability).astype(np.uint8),
        classes if of_classes.shape[-1] > 1 else 255 * classes,
        _outlined(image, classes),
    )
    written_here = PngInfo()
    written_here.add_text(*SOFTWARE)
    for target, pixels in zip(targets, results, strict=True):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", pnginfo=written_here)
        write_bytes(target, stream.getvalue())


def _targets(file: Path, out: Path) -> list[Path]:
    """Where the results of an image go, in the order of `RESULTS`."""
    return [out / f"{file.stem}_{name}.png" for name in RESULTS]


def _outlined(image: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The image with the borders of its classes, a colour each; from the seventh on colours come again."""
    outlined = image.copy()
    for value in range(1, int(classes.max()) + 1):
        outlined[find_boundaries(classes == value, mode="thick")] = OUTLINES[(value - 1) % len(OUTLINES)]
    return outlined


def _files(paths: Sequence[Path]) -> list[Path]:
    if not paths:
        raise UsageError("no images are given", remedy="python launch/predict.py RUN IMAGES... --out DIR")
    files = [file for path in paths for file in _files_at(path)]
    if not files:
        expected = f"files ending in {', '.join(SUFFIXES)}"
        remedy = "give the folder that holds them: its subfolders are not searched"
        where = " ".join(map(str, paths))
        raise InputError("no images there", file=where, expected=expected, remedy=remedy)
    return files


def _files_at(path: Path) -> list[Path]:
    with read_errors(path):
        if not path.exists():
            raise InputError("no such image or folder", file=path, remedy="check the path")
        return _images_of(path) if path.is_dir() else [path]


def _images_of(folder: Path) -> list[Path]:
    """Images without hidden files, which Macs leave beside each image (._tile.png), and without what is left out."""
    shown = (file for file in folder.iterdir() if not file.name.startswith("."))
    files = sorted(file for file in shown if file.suffix.lower() in SUFFIXES)
    beside = {file.stem + companion for file in files for companion in COMPANIONS}
    images = [file for file in files if file.stem not in beside]
    if left_out := [file.name for file in files if file.stem in beside]:
        number = counted(len(left_out), "file")
        print(f"left out, as annotations and results of other images there: {number} ({listed(left_out)})")
        print("to predict them too, give them by name")
    return images


def _check_names(files: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        if file.stem in seen:
            raise UsageError(
                "gives results of the same name as another image",
                file=file,
                found=seen[file.stem],
                remedy="predict them into different folders",
            )
        seen[file.stem] = file


def _check_replaced(files: list[Path], out: Path) -> None:
    """Annotations are often called as results are, and lie where they go: nothing but results is replaced."""
    inputs = {file.resolve() for file in files}
    targets = [target for file in files for target in _targets(file, out) if _is_there(target)]
    if theirs := [target for target in targets if target.resolve() in inputs or not _written_here(target)]:
        raise UsageError(
            "would be replaced by a result",
            file=theirs[0],
            found=f"{counted(len(theirs), 'file')} of the results' names that predict did not write, or is to read",
            remedy="choose another folder with --out, or move these files away",
        )


def _is_there(target: Path) -> bool:
    with disk_errors(target):
        return target.exists()


def _written_here(file: Path) -> bool:
    key, value = SOFTWARE
    try:
        with Image.open(file, formats=["PNG"]) as image:
            return image.info.get(key) == value
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
