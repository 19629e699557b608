"""The table of known weights, for people."""

from rich.table import Table

from jaxseg.console import Console
from weights_convert.sources import SOURCES, Source, Statistics


def show(console: Console | None = None) -> None:
    """Print what is known of each source; the same facts as in the receipts."""
    table = Table(show_lines=True, title="Known weights", title_justify="left")
    table.add_column("source", no_wrap=True)
    table.add_column("what, how to normalise its images, terms and origin", overflow="fold")
    for source in SOURCES:
        table.add_row(f"[bold]{source.name}[/]", "\n".join(describe(source)))
    (console or Console()).print(table, soft_wrap=False)


def describe(source: Source) -> list[str]:
    """Lines about one source."""
    depths = ", ".join(str(depth) for depth in source.depths)
    hashes = "hash pinned" if source.sha256 else "no hash published"
    lines = [
        f"{source.title}; ResNet {depths}; {source.megabytes} MB; {hashes}",
        f"files: {', '.join(source.files)}",
        f"mean {_numbers(source.mean)}, std {_numbers(source.std)}: {source.statistics_from}",
        f"licence: {source.licence}",
        f"citation: {source.citation}",
        source.address,
    ]
    return [*lines, f"[yellow]mind: {source.trap}[/]"] if source.trap else lines


def _numbers(values: Statistics) -> str:
    """As published, so that they may be copied from here."""
    return " ".join(map(str, values))
