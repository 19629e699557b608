"""Tables, figures and report.html of a study: python launch/analyze.py STUDY [--data-dir DIR] [--no-features]."""

from pathlib import Path
from typing import Annotated

import tyro

from jaxseg.analysis.analyze import analyze
from jaxseg.command import command
from jaxseg.config import Locations


def run(
    study: Annotated[Path, tyro.conf.Positional],
    data_dir: Path | None = None,
    features: bool = True,
) -> None:
    """Analyse a study folder, finished or not; nothing changes where nothing new has come in.

    Args:
        study: folder that launch/sweep.py was given with --out.
        data_dir: prepared datasets (else JAXSEG_DATA, else ./data); for features, pictures, what preparing warned of.
        features: open models too, for UMAP, similarity of features and pictures of test images.
    """
    locations = Locations.choose(data_dir, None)
    print(analyze(study, locations.data, features=features, progress=print))


def main() -> None:
    tyro.cli(run)


if __name__ == "__main__":
    command(main)
