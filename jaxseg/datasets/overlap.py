"""Images that several prepared datasets share: a model tested on what another one was trained on is flattered."""

from collections.abc import Sequence
from pathlib import Path

from jaxseg.datasets.card import Card, Row
from jaxseg.datasets.perceptual_hash import alike
from jaxseg.datasets.prepared import VERSION, is_prepared, read_card
from jaxseg.wording import counted, listed


def prepared_names(data_dir: Path) -> list[str]:
    """Names of the whole datasets in a data directory."""
    names = sorted(folder.parent.name for folder in data_dir.glob(f"[a-z0-9]*/{VERSION}"))
    return [name for name in names if is_prepared(name, data_dir)]


def same_images(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Pairs of rows whose images are equal or nearly so."""
    some, others = ([row for row in rows if row.looks] for rows in (first, second))
    pairs = alike([row.looks for row in some], [row.looks for row in others])
    return [(some[i], others[j]) for i, j in pairs]


def shared(card: Card, other: Card) -> str | None:
    """What two datasets share, in words; None where that is nothing."""
    pairs = same_images(card.images, other.images)
    if not pairs:
        return None
    named = listed(f"{one.id} ({one.split}) = {two.id} ({two.split})" for one, two in pairs)
    number = counted(len(pairs), "image is", "images are")
    return f"{number} the same or nearly so in {card.name} and {other.name}: {named}"


def shared_with_others(name: str, data_dir: Path) -> list[str]:
    """What a prepared dataset shares with the others in the same data directory, a line per dataset."""
    card = read_card(name, data_dir)
    others = (read_card(other, data_dir) for other in prepared_names(data_dir) if other != name)
    return [line for line in (shared(card, other) for other in others) if line is not None]
