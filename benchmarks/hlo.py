"""The kernels of a compiled program, read from its text: what XLA launches on a GPU, or works off on a CPU."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks import arithmetic

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
        flop: of its convolutions and products of matrices.
        opcodes: of all instructions in it.
    """

    name: str
    kind: str
    bytes: int
    made_from: str
    flop: int = 0
    opcodes: frozenset[str] = field(default=frozenset(), compare=False)


def kernels(text: str) -> list[Kernel]:
    """Those of a compiled program, or of its largest loop where that has more of them (the steps of a dispatch).

    Args:
        text: of a `jax.stages.Compiled`.
    """
    computations, entry = _computations(text)
    bodies = {found[1] for found in re.finditer(r" while\(.*body=%?([\w.\-]+)", text)}
    return max((list(_kernels(computations[name], computations)) for name in bodies | {entry}), key=len)


def opcodes(text: str) -> dict[str, str]:
    """Opcodes of all instructions of a compiled program, by name."""
    return {found["name"]: found["opcode"] for found in map(INSTRUCTION.match, text.splitlines()) if found}


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


def _kernels(lines: list[str], computations: dict[str, list[str]]) -> Iterator[Kernel]:
    for found, shape, operands in _with_shapes(lines):
        if found["opcode"] in NO_KERNEL:
            continue
        opcodes, flop = _content(found, shape, operands, computations)
        yield Kernel(
            found["name"],
            _kind(found["opcode"], found["rest"]),
            sum(map(_bytes, (shape, *operands))),
            _first(r'op_name="([^"]+)"', found["rest"]),
            flop,
            frozenset(opcodes),
        )


def _content(
    found: re.Match[str], shape: str, operands: list[str], computations: dict[str, list[str]]
) -> tuple[set[str], int]:
    """Opcodes of an instruction and of all that it calls, and the arithmetic of the convolutions and products there."""
    called = _first(r"(?:calls|to_apply)=%?([\w.\-]+)", found["rest"])
    opcodes = {found["opcode"]}
    flop = arithmetic.flop(found["rest"], _sides(shape), [_sides(operand) for operand in operands])
    for inner in _with_shapes(computations.get(called, [])):
        more, flop_inside = _content(*inner, computations)
        opcodes, flop = opcodes | more, flop + flop_inside
    return opcodes, flop


def _with_shapes(lines: list[str]) -> Iterator[tuple[re.Match[str], str, list[str]]]:
    """Instructions with the shapes of their result and of their operands."""
    shapes: dict[str, str] = {}
    for found in filter(None, map(INSTRUCTION.match, lines)):
        shapes[found["name"]] = found["shape"]
        operands = re.findall(r"%([\w.\-]+)", found["rest"].split("), ")[0])
        yield found, found["shape"], [shapes.get(name, "") for name in operands]


def _kind(opcode: str, rest: str) -> str:
    if opcode != "fusion":
        return _first(r'custom_call_target="([^"]+)"', rest) or opcode
    return _first(r'"kind":"(__triton\w*)"', rest) or "fusion: " + _first(r"kind=(\w+)", rest)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _bytes(shape: str) -> int:
    return sum(BYTES[kind] * math.prod(_numbers(sides)) for kind, sides in ARRAY.findall(shape))


def _sides(shape: str) -> tuple[int, ...]:
    """Of the first array of a shape."""
    found = ARRAY.search(shape)
    return _numbers(found[2]) if found else ()


def _numbers(sides: str) -> tuple[int, ...]:
    return tuple(int(side) for side in sides.split(",") if side)
