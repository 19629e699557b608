"""Segment images with a trained run: python launch/predict.py RUN IMAGES... --out DIR

For each image NAME.png: NAME_probability.png (of foreground, 0 … 255), NAME_mask.png (0 or 255; of a model of several
classes 0 for background and 1, 2, … for them) and NAME_overlay.png (outlines, a colour for each class). An image that
cannot be read stops none of the others; it is named at the end, and the exit code is 3. Two images of one NAME are
refused.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxseg.command import command
from jaxseg.execution.failing_gpus import told
from jaxseg.execution.start import prepare_process


@dataclass(frozen=True)
class Flags:
    """Options of the command.

    Attributes:
        run: folder of a finished run.
        images: files or folders; PNG, TIFF, JPEG, BMP or WebP of any size, of one page. Of a folder, its subfolders,
            hidden files and what is called after an image there (_anno, _mask, _probability, _overlay) are left out.
        out: folder for the results; there they replace former results, and no other file.
        threshold: probability from which a pixel is foreground, .5 where not given; for models of one class.
        budget: epochs; the best model within that budget, the whole run's where not given.
    """

    run: tyro.conf.Positional[Path]
    images: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    threshold: float | None = None
    budget: int | None = None


def main() -> None:
    flags = tyro.cli(Flags, description=__doc__)
    prepare_process()
    from jaxseg.inference.on_files import predict_files

    with told():
        predict_files(flags.run, flags.images, flags.out, threshold=flags.threshold, budget=flags.budget)


if __name__ == "__main__":
    command(main)
