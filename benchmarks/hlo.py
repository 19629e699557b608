"""The kernels of a program that XLA compiled for a GPU, read from its text."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

BYTES = {
    **dict.fromkeys(("pred", "s8", "u8"), 1),
    **dict.fromkeys(("s16", "u16", "bf16", "f16"), 2),
    **dict.fromkeys(("s32", "u32", "f32"), 4),
    **dict.fromkeys(("s64", "u64", "f64"), 8),
}
COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<shape>.*?) (?P<opcode>[\w\-]+)\((?P<rest>.*)$")
ARRAY = re.compile(r"\b(" + "|".join(BYTES) + r")\[([\d,]*)\]")
NO_KERNEL = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "while", "partition-id"}


@dataclass(frozen=True)
class Kernel:
    """One launch.

    Attributes:
        kind: what runs it, such as "fusion: kLoop" or "__cudnn$convForward".
        bytes: of its operands and results, each counted once and whole.
        made_from: the operation of the program that it ends with.
    """

    name: str
    kind: str
    bytes: int
    made_from: str


def kernels(text: str) -> list[Kernel]:
    """Those of the largest loop of a compiled program (its steps), or of the whole program where it has none.

    Args:
        text: of a `jax.stages.Compiled`.
    """
    computations, entry = _computations(text)
    bodies = {found[1] for found in re.finditer(r" while\(.*body=%?([\w.\-]+)", text)}
    return max((list(_kernels(computations[name])) for name in bodies or {entry}), key=len)


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    computations: dict[str, list[str]] = {}
    lines, entry = [], ""
    for line in text.splitlines():
        if begins := COMPUTATION.match(line):
            lines = computations.setdefault(begins["name"], [])
            entry = begins["name"] if begins["entry"] else entry
        else:
            lines.append(line)
    return computations, entry


def _kernels(lines: list[str]) -> Iterator[Kernel]:
    shapes: dict[str, str] = {}
    for found in filter(None, map(INSTRUCTION.match, lines)):
        shapes[found["name"]] = found["shape"]
        if found["opcode"] in NO_KERNEL:
            continue
        operands = re.findall(r"%([\w.\-]+)", found["rest"].split("), ")[0])
        size = sum(_bytes(shape) for shape in (found["shape"], *(shapes.get(name, "") for name in operands)))
        yield Kernel(
            found["name"], _kind(found["opcode"], found["rest"]), size, _first(r'op_name="([^"]+)"', found["rest"])
        )


def _kind(opcode: str, rest: str) -> str:
    if opcode != "fusion":
        return _first(r'custom_call_target="([^"]+)"', rest) or opcode
    return _first(r'"kind":"(__triton\w*)"', rest) or "fusion: " + _first(r"kind=(\w+)", rest)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _bytes(shape: str) -> int:
    return sum(
        BYTES[kind] * math.prod(int(side) for side in sides.split(",") if side) for kind, sides in ARRAY.findall(shape)
    )
