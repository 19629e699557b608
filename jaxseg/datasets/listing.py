"""Names in messages: the first few, and how many more."""

from collections.abc import Iterable

SHOWN = 5


def listed(names: Iterable[str]) -> str:
    """The names with commas between them; after the first five only their number."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
