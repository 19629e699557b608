"""Numbers and names in messages."""

from collections.abc import Iterable

SHOWN = 5


def counted(number: int, one: str, several: str = "") -> str:
    """The number with its noun: "1 run", "2 runs"; `several` where the plural takes more than an s."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def listed(names: Iterable[str]) -> str:
    """The names with commas between them; after the first five only their number."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
