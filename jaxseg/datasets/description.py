"""What is known about a dataset before anybody has a file of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Description:
    """A dataset as its authors distribute it.

    Attributes:
        name: how commands and configurations refer to it; title: for people.
        task: what is annotated: "glands", "nuclei", …
        counts: official number of images per split; empty where there is no official number.
        subsets: official number of images per subset, such as GlaS' testA and testB.
        image_sizes: in words, pixels and magnification.
        licence, citation: as stated by the authors.
        how_to_get: where to register or download; nothing is fetched by this program.
        layout: what the manual directory must hold.
        differences_from_paper: where release and paper (arXiv 2307.03275) disagree; the release wins.
        overlap: with the images that public initial weights were trained on.
        classes: names of the foreground classes, where the annotation tells several; empty means one.
    """

    name: str
    title: str
    task: str
    counts: Mapping[str, int] = field(default_factory=dict)
    subsets: Mapping[str, int] = field(default_factory=dict)
    image_sizes: str = ""
    licence: str = ""
    citation: str = ""
    how_to_get: str = ""
    layout: str = ""
    differences_from_paper: str = "none"
    overlap: str = "none known"
    classes: tuple[str, ...] = ()
