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
import sys
from pathlib import Path
from typing import Any

from jaxseg import gpus
from jaxseg.errors import InputError
from jaxseg.execution import child, compile_cache
from jaxseg.execution.resources import computes_on_cpu
from jaxseg.files import write_json
from jaxseg.gpus import ONE_GRAPH
from jaxseg.turn import turn

TRIAL = "from jaxseg.execution.trial import timed; print(timed())"
PATIENCE = 300  # seconds for each way
AGREEMENT = 0.05  # relative difference of the losses; float32 and bfloat16 differ by .005
GAIN = 0.98  # of the time, at most
DRIVER = Path("/proc/driver/nvidia")


def settle() -> None:
    """Set `ONE_GRAPH` for this process and its children, unless it is set or no NVIDIA GPU is there."""
    if ONE_GRAPH in os.environ or computes_on_cpu() or not gpus.visible():
        return
    file = compile_cache.check() / f"one_graph_{_key()}.json"
    with turn(file.with_suffix(".lock"), 3 * PATIENCE):
        found = _read(file) or _tried(file)
    os.environ[ONE_GRAPH] = str(int(found["one_graph"]))


def _read(file: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_bytes())
        if isinstance(found, dict) and isinstance(found.get("one_graph"), bool):
            return found
    return None


def _tried(file: Path) -> dict[str, Any]:
    """Remembered where the disk lets us; a failure to try is remembered like a failure to work."""
    print("trying out, once, whether a step as one CUDA graph is faster on this GPU", file=sys.stderr, flush=True)
    ways = {way: child.run(TRIAL, patience=PATIENCE, **{ONE_GRAPH: str(way)}) for way in (0, 1)}
    verdict, why = judged(*ways.values())
    found = {"one_graph": verdict, "why": why}
    with contextlib.suppress(InputError, OSError):
        write_json(file, found)
    print(f"{'one graph' if verdict else 'several pieces'}: {why}", file=sys.stderr, flush=True)
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
