"""What is this file? For people, before they convert it."""

from dataclasses import dataclass
from pathlib import Path

from jaxseg.errors import InputError
from jaxseg.files import sha256
from weights_convert import sources
from weights_convert.convert import fitted
from weights_convert.mapping import Tensors
from weights_convert.read import read

SHOWN = 40  # tensors listed where no layout fits


@dataclass(frozen=True)
class Inspection:
    """Text for people, and why the file cannot be converted, where it cannot."""

    text: str
    refusal: InputError | None


def inspect(file: Path) -> Inspection:
    """Size, hash, known source, layout, architecture, what would be used and dropped.

    A file that holds tensors but cannot be converted is described as well; `InputError` for anything else.
    """
    tensors = read(file)
    digest = sha256(file)
    known = sources.published_as(digest)
    lines = [
        f"file         {file}",
        f"size         {file.stat().st_size:,} bytes, {len(tensors)} tensors",
        f"SHA-256      {digest}",
        f"known as     {f'{known.name}: {known.title}' if known else 'no file of a published hash'}",
    ]
    try:
        converted = fitted(tensors, file)
    except InputError as error:
        return Inspection("\n".join([*lines, "", *_listing(tensors)]), error)
    found, mapped = converted.recognised, converted.mapped
    reasons = sorted(found.dropped.values()) + sorted(mapped.dropped.values())
    lines += [
        f"layout       {found.layout.name} ({_names(found.layout.prefix)})",
        f"architecture ResNet{found.depth}, width {found.width:g}",
        f"used         {len(mapped.used)} tensors",
        *(f"dropped      {reasons.count(reason)}: {reason}" for reason in dict.fromkeys(reasons)),
    ]
    return Inspection("\n".join(lines), None)


def _names(prefix: str) -> str:
    return f"names begin with {prefix!r}" if prefix else "names as torchvision's"


def _listing(tensors: Tensors) -> list[str]:
    lines = [f"{name}  {x.dtype} {x.shape}" for name, x in list(tensors.items())[:SHOWN]]
    return lines + ([f"… and {len(tensors) - SHOWN} more"] if len(tensors) > SHOWN else [])
