"""The datasets that are built in: their descriptions and the readers of their official trees."""

from collections.abc import Callable, Mapping
from pathlib import Path

from jaxseg.datasets import cpm17, crag, glas, kumar, synthetic, tnbc
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example
from jaxseg.errors import UsageError

_OFFICIAL = (glas, crag, kumar, cpm17, tnbc)
READERS: Mapping[str, Callable[[Path], list[Example]]] = {each.DESCRIPTION.name: each.examples for each in _OFFICIAL}
DESCRIPTIONS: Mapping[str, Description] = {
    each.name: each for each in (*(module.DESCRIPTION for module in _OFFICIAL), *synthetic.DESCRIPTIONS)
}


def describe(name: str) -> Description:
    """Description of a built-in dataset; `UsageError` lists the known names."""
    if name not in DESCRIPTIONS:
        raise UsageError("no such built-in dataset", found=name, expected=f"one of {', '.join(DESCRIPTIONS)}")
    return DESCRIPTIONS[name]
