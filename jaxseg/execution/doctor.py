"""Is this host ready? Each check says what it found and, where it is not well, what to do."""

import importlib.metadata
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxseg.compute import processor
from jaxseg.compute.host import memory, usable_cores
from jaxseg.config import NAME, Locations
from jaxseg.datasets.card import Card
from jaxseg.datasets.catalogue import DESCRIPTIONS
from jaxseg.datasets.overlap import prepared_names, shared
from jaxseg.datasets.prepared import is_prepared, prepared_folder, read_card
from jaxseg.errors import JaxsegError
from jaxseg.execution import child, compile_cache
from jaxseg.models.receipt import Receipt
from jaxseg.wording import counted, listed

PYTHON = (3, 11)
LEAST_MEMORY = 4e9  # bytes
LEAST_DISK = 5e9
INSTALL = "pip install -c constraints.txt -e ."
PATIENCE = 120  # seconds for JAX to find its devices
COMPILING = 600  # seconds for a small training step, which GPUs try many kernels for

DEVICES = """
import collections, jax
kinds = collections.Counter(device.device_kind for device in jax.devices())
print(", ".join(f"{number} {kind}" for kind, number in kinds.items()))
"""
TRIAL = "from jaxseg.execution.trial import trial; print(trial())"
DIGEST = """
import json, sys, pathlib
from jaxseg.config import ModelConfig
from jaxseg.models.encoder_weights import read
from jaxseg.models.receipt import Receipt
for name in sys.argv[2:]:
    receipt = Receipt.read(pathlib.Path(sys.argv[1]) / name)
    try:
        read(pathlib.Path(sys.argv[1]), name, ModelConfig(depth=receipt.depth, width=receipt.width))
        print(json.dumps([name, None]))
    except Exception as error:
        print(json.dumps([name, str(error)]))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        remedy: what to do where it is not well.
        advice: what to do where it is well enough to work, yet worth a look.
    """

    what: str
    well: bool
    found: str
    remedy: str = ""
    advice: str = ""

    @property
    def to_do(self) -> str:
        """What the reader is told to do; empty where there is nothing."""
        return self.advice if self.well else self.remedy


def examine(locations: Locations, out: Path, constraints: Path | None) -> list[Finding]:
    """All checks.

    Args:
        locations: of data and weights.
        out: where studies would be written.
        constraints: file of tested versions, `name==version` lines; None where it is not at hand.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        lambda: _packages(constraints),
        _devices,
        _training,
        _machine,
        lambda: _folder(out),
        lambda: _datasets(locations.data),
        lambda: _weights(locations.weights),
        _cache,
    )
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", sys.version_info >= PYTHON, found, f"install Python {PYTHON[0]}.{PYTHON[1]} or newer")


def _packages(constraints: Path | None) -> Iterator[Finding]:
    """Packages that the project asks for, against the tested versions."""
    tested = _tested(constraints)
    try:
        asked_for = _asked_for()
    except importlib.metadata.PackageNotFoundError:  # a checkout that runs with other environments' packages
        yield Finding("package jaxseg", False, "not installed", INSTALL)
        return
    others = []
    for name in asked_for:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(f"package {name}", False, "not installed", INSTALL)
            continue
        if name in tested and version != tested[name]:
            others.append(f"{name} {version} (tested: {tested[name]})")
    found = "; ".join(others) or ("as tested" if tested else "no constraints.txt at hand to compare with")
    # other versions may be needed (newer GPUs need a newer JAX), so they are told but are no fault
    advice = f"{INSTALL} gives the tested versions" if others else ""
    yield Finding("packages", True, found, advice=advice)


def _asked_for() -> list[str]:
    lines = importlib.metadata.requires("jaxseg") or []
    return [_canonical(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines if "extra ==" not in line]


def _tested(constraints: Path | None) -> dict[str, str]:
    if constraints is None or not constraints.is_file():
        return {}
    lines = constraints.read_text().splitlines()
    pairs = (line.partition("#")[0].partition(";")[0].strip().split("==") for line in lines)
    return {_canonical(pair[0]): pair[1] for pair in pairs if len(pair) == 2}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _devices() -> Iterator[Finding]:
    """In a child process: a broken driver is then a line here, and no device stays taken."""
    found, output = child.run(DEVICES, patience=PATIENCE)
    yield Finding("JAX devices", found, output, "check driver and jax plugin: pip install -e .[cuda13] or [cuda12]")


def _training() -> Iterator[Finding]:
    """Devices that are found may still fail at the first convolution, or end the process that compiles one."""
    found, output = child.run(TRIAL, patience=COMPILING)
    remedy = "install a driver and CUDA packages that suit the jax plugin, or the versions of constraints.txt"
    yield Finding("training", found, output, remedy)


def _machine() -> Iterator[Finding]:
    faster = (
        ", fast in bfloat16 (--recipe.compute-dtype): the full ResNet50 trains 1.4 to 2 times as fast as in float32"
    )
    yield Finding("cores", True, f"{usable_cores()}{faster * processor.multiplies_bfloat16()}")
    yield Finding("memory", memory() >= LEAST_MEMORY, f"{memory() / 1e9:.1f} GB", "4 GB are needed at least")


def _folder(out: Path) -> Iterator[Finding]:
    above = next(path for path in (out, *out.parents) if path.exists())
    if not above.is_dir():
        yield Finding(f"writing to {out}", False, f"{above} is a file", "choose another --out")
        return
    free = shutil.disk_usage(above).free
    well = free >= LEAST_DISK
    yield Finding(f"disk at {above}", well, f"{free / 1e9:.1f} GB free", "free some; --dry-run tells a study's need")
    writable = os.access(above, os.W_OK)
    yield Finding(f"writing to {above}", writable, "yes" if writable else "no", "choose another --out")


def _datasets(data_dir: Path) -> Iterator[Finding]:
    """Built-in ones and those prepared by the user; one that was never prepared is no fault."""
    own = [path.name for path in sorted(data_dir.glob("[a-z0-9]*")) if path.is_dir() and path.name not in DESCRIPTIONS]
    for name in [*DESCRIPTIONS, *own]:
        if is_prepared(name, data_dir):
            yield from _prepared(name, data_dir)
        else:
            begun = (data_dir / name).exists()
            found = "incomplete or damaged" if begun else "not prepared"
            remedy = f"python launch/prepare.py {name} --data-dir {data_dir}"
            yield Finding(f"dataset {name}", not begun, found, remedy)
    cards = [read_card(name, data_dir) for name in prepared_names(data_dir)]
    for first, second in itertools.combinations(cards, 2):
        line = shared(first, second)
        if line is not None:
            advice = (
                "do not test models on the one that were trained on the other, or remove the copies and prepare anew"
            )
            yield Finding(f"datasets {first.name}, {second.name}", True, line, advice=advice)


def _prepared(name: str, data_dir: Path) -> Iterator[Finding]:
    """Every image is decoded and compared with its digest; then what the checks had found while preparing."""
    from jaxseg.datasets.loading import damaged  # TFDS takes half a second to import

    card, bad = read_card(name, data_dir), damaged(name, data_dir)
    if bad:
        remedy = f"delete {prepared_folder(name, data_dir)} and prepare the dataset again"
        found = f"{counted(len(bad), 'image')} damaged or changed: {listed(bad)}"
        yield Finding(f"dataset {name}", False, found, remedy)
        return
    counts = " + ".join(str(len(card.rows(split))) for split in ("train", "test"))
    yield Finding(f"dataset {name}", True, f"{counts} images, {card.task}{_measures(card)}")
    for warning in card.warnings:
        advice = "look at them; the command that prepared the dataset draws images with --preview"
        yield Finding(f"dataset {name}", True, warning, advice=advice)


def _measures(card: Card) -> str:
    """Sizes and foreground, where there are images."""
    if not card.images:
        return ""
    sides = [side for row in card.images for side in (row.height, row.width)]
    foreground = sum(row.foreground for row in card.images) / len(card.images)
    return f", sides {min(sides)}-{max(sides)} pixels, foreground {foreground:.3f}"


def _weights(weights_dir: Path) -> Iterator[Finding]:
    """Receipts, and the digests of the arrays."""
    names = [path.name for path in sorted(weights_dir.glob("*")) if path.is_dir() and NAME.fullmatch(path.name)]
    if not names:
        advice = f"python -m weights_convert convert FILE --source NAME --out {weights_dir}"
        yield Finding("weights", True, f"none in {weights_dir}; random ones need no file", advice=advice)
        return
    good = []
    for name in names:
        try:
            Receipt.read(weights_dir / name)
            good.append(name)
        except JaxsegError as error:
            yield Finding(f"weights {name}", False, *_split(str(error)))
    yield from _digests(weights_dir, good)


def _digests(weights_dir: Path, names: list[str]) -> Iterator[Finding]:
    if not names:
        return
    ran, output = child.run(DIGEST, str(weights_dir), *names, patience=PATIENCE, JAX_PLATFORMS="cpu")
    if not ran:
        yield Finding("weights", False, output, "see the line on JAX devices")
        return
    for name, problem in map(json.loads, output.splitlines()):
        if problem is None:
            source = Receipt.read(weights_dir / name).source
            yield Finding(f"weights {name}", True, f"whole, from {source or 'an unnamed source'}")
        else:
            yield Finding(f"weights {name}", False, *_split(problem))


def _split(message: str) -> tuple[str, str]:
    """An error's first line and its remedy."""
    return message.partition("\n")[0], message.partition("remedy:")[2].strip() or "convert the weights again"


def _cache() -> Iterator[Finding]:
    folder = compile_cache.cache_folder()
    if not folder.exists():
        yield Finding("compilation cache", True, f"{folder}, made at first use")
        return
    try:
        yield Finding("compilation cache", True, f"{compile_cache.check()}, mode 0700")
    except JaxsegError as error:
        yield Finding("compilation cache", False, *_split(str(error)))
