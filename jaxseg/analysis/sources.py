"""Where models and test images come from. Heavy imports wait until one is opened."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxseg.analysis.feature_vectors import Model, OpenModel, TestImages


@dataclass(frozen=True)
class Sources:
    """How the analysis gets at them.

    Attributes:
        open_model: run folder -> model; test_images: dataset -> its test split; prepared: whether a dataset can
            be loaded.
    """

    open_model: "OpenModel"
    test_images: "Callable[[str], TestImages]"
    prepared: Callable[[str], bool]


def default_sources(data_dir: Path) -> Sources:
    """Models by `jaxseg.load`, images from prepared datasets in `data_dir`."""

    def open_model(folder: Path) -> "Model":
        import jaxseg

        return jaxseg.load(folder)

    def test_images(name: str) -> "TestImages":
        from jaxseg import datasets

        return datasets.open_dataset(name, data_dir).test

    def prepared(name: str) -> bool:
        from jaxseg import datasets

        return datasets.is_prepared(name, data_dir)

    return Sources(open_model, test_images, prepared)
