"""Whether the GPUs of this host take a whole training step as one CUDA graph: tried out once, and remembered.

XLA leaves convolutions out of CUDA graphs, since not all of them can be captured (XLA's pull request 34572), and so
hands a GPU a step in some two hundred pieces. Whether it works otherwise, gives the same losses and is faster depends
on the GPU and the versions of driver and libraries, so a small step is trained both ways, in processes of their own.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxseg import gpus
from jaxseg.errors import InputError, UsageError
from jaxseg.execution import child, compile_cache
from jaxseg.execution.resources import computes_on_cpu
from jaxseg.files import write_json
from jaxseg.gpus import ONE_GRAPH
from jaxseg.turn import turn

TRIAL = "from jaxseg.execution.trial import timed; print(timed())"
PATIENCE = 300  # seconds for each way
AGREEMENT = 0.05  # relative difference of the losses; float32 and bfloat16 differ by .005
GAIN = 0.98  # of the time, at most
OF_GRAPHS = re.compile(r"captur|graph|command.?buffer", re.IGNORECASE)
DRIVER = Path("/proc/driver/nvidia")


def settle() -> None:
    """Set `ONE_GRAPH` for this process and its children, unless it is set or no NVIDIA GPU is there."""
    if ONE_GRAPH in os.environ or computes_on_cpu() or not gpus.visible():
        return
    file = _file()
    with turn(file.with_suffix(".lock"), 3 * PATIENCE):
        found = _read(file) or _tried(file)
    os.environ[ONE_GRAPH] = str(int(found["one_graph"]))


@contextlib.contextmanager
def doubted() -> Iterator[None]:
    """Remember where a step fails as one graph though that of the trial did not: the next process takes pieces.

    Raises:
        UsageError: in place of an error of JAX that tells of graphs.
    """
    try:
        yield
    except RuntimeError as error:
        if os.environ.get(ONE_GRAPH) != "1" or not OF_GRAPHS.search(str(error)):
            raise
        _remember(_file(), False, f"a step failed: {error}")
        raise UsageError(
            f"the GPU did not take a training step as one CUDA graph: {error}",
            remedy=f"repeat the command, without {ONE_GRAPH} if you have set it: it takes steps in pieces from now on",
        ) from error


def _file() -> Path:
    return compile_cache.check() / f"one_graph_{_key()}.json"


def _read(file: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_bytes())
        if isinstance(found, dict) and isinstance(found.get("one_graph"), bool):
            return found
    return None


def _tried(file: Path) -> dict[str, Any]:
    """What a trial says now. It is remembered, unless training failed either way, which is another matter."""
    print("trying out, once, whether a step as one CUDA graph is faster on this GPU", file=sys.stderr, flush=True)
    ways = {way: child.run(TRIAL, patience=PATIENCE, **{ONE_GRAPH: str(way)}) for way in (0, 1)}
    verdict, why = judged(*ways.values())
    print(f"{'one graph' if verdict else 'several pieces'}: {why}", file=sys.stderr, flush=True)
    return _remember(file if ways[0][0] else None, verdict, why)


def _remember(file: Path | None, verdict: bool, why: str) -> dict[str, Any]:
    """Where the disk lets us."""
    found = {"one_graph": verdict, "why": why}
    if file is not None:
        with contextlib.suppress(InputError, OSError):
            write_json(file, found)
    return found


def judged(pieces: tuple[bool, str], graph: tuple[bool, str]) -> tuple[bool, str]:
    """Whether to take one graph, and why, from what both processes ended with and said."""
    for name, (ended_well, said) in {"in pieces": pieces, "as one graph": graph}.items():
        if not ended_well:
            return False, f"a step {name} failed: {said}"
    before, after = json.loads(pieces[1].splitlines()[-1]), json.loads(graph[1].splitlines()[-1])
    if not math.isclose(before["loss"], after["loss"], rel_tol=AGREEMENT):
        return False, f"the losses differ: {before['loss']:.5g} and {after['loss']:.5g}"
    faster = after["seconds"] <= GAIN * before["seconds"]
    return faster, f"{1000 * before['seconds']:.2f} ms a step in pieces, {1000 * after['seconds']:.2f} as one graph"


def _key() -> str:
    """Names the GPUs and all versions that the verdict depends on, as far as Linux tells them."""
    told = [DRIVER / "version", *sorted(DRIVER.glob("gpus/*/information"))]
    texts = [file.read_text(errors="replace") for file in told if file.is_file()]
    models = [line for text in texts for line in text.splitlines() if line.startswith(("NVRM", "Model"))]
    packages = ("jaxlib", *(name.replace("_", "-") for name in gpus.PLUGINS))
    versions = [(name, _version(name)) for name in packages]
    return hashlib.sha256(repr((models, versions, len(gpus.visible()))).encode()).hexdigest()[:16]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
