"""Where models and test images come from. Heavy imports wait until one is opened."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jaxseg.errors import JaxsegError

if TYPE_CHECKING:
    from jaxseg.analysis.feature_vectors import Model, OpenModel
    from jaxseg.datasets.card import Card
    from jaxseg.datasets.loading import Images


@dataclass(frozen=True)
class Sources:
    """How the analysis gets at them.

    Attributes:
        open_model: run folder -> model; test_images: dataset -> its test split; card: dataset -> what is known of its
            prepared data, None where it cannot be loaded.
    """

    open_model: "OpenModel"
    test_images: "Callable[[str], Images]"
    card: "Callable[[str], Card | None]"


def default_sources(data_dir: Path) -> Sources:
    """Models by `jaxseg.load`, images from prepared datasets in `data_dir`."""

    def open_model(folder: Path) -> "Model":
        import jaxseg

        return jaxseg.load(folder)

    def test_images(name: str) -> "Images":
        from jaxseg import datasets

        return datasets.open_dataset(name, data_dir).test

    def card(name: str) -> "Card | None":
        from jaxseg import datasets

        try:
            return datasets.read_card(name, data_dir)
        except JaxsegError:
            return None

    return Sources(open_model, test_images, card)
