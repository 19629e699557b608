"""Whether the GPUs of this host take a whole training step as one CUDA graph: tried out once, and remembered.

XLA leaves convolutions out of CUDA graphs, since not all of them can be captured (XLA's pull request 34572), and so
hands a GPU a step in some two hundred pieces. Whether it works otherwise, gives the same losses and is faster depends
on the GPU and the versions of driver and libraries, so a small step is trained both ways, in processes of their own.

XLA is told by XLA_FLAGS, before it is loaded. By an option of the compiler it would do so in the process that compiles
alone: what another one reads from JAX's cache is put into graphs anew, as the flags say (jaxlib 0.10.2).
"""

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jaxseg
from jaxseg.compute import gpus
from jaxseg.compute.lock import turn
from jaxseg.errors import InputError
from jaxseg.execution import child, compile_cache
from jaxseg.execution.resources import computes_on_cpu
from jaxseg.files import write_json

ONE_GRAPH = "JAXSEG_ONE_GRAPH"  # variable of the environment: "1" or "0" where it is settled, by a trial or by hand
XLA_FLAGS = "XLA_FLAGS"
GRAPHS = "--xla_gpu_enable_command_buffer"
IN_GRAPHS = "+CONVOLUTION"  # besides what XLA puts into CUDA graphs by itself: a step is then one graph

TRIAL = "from jaxseg.execution.trial import timed; print(timed())"
PATIENCE = 600  # seconds for each way: GPUs try many kernels for a first step
AGREEMENT = 0.05  # relative difference of the losses; float32 and bfloat16 differ by .005
GAIN = 0.98  # of the time, at most
WAYS = (0, 1, 0, 1)  # each twice: GPUs take time to clock up, and the second graph is read from JAX's cache
WHILE = 3600  # seconds for which a failure is remembered that may not happen again, so that workers do not queue for it
PASSING = re.compile(r"no answer|RESOURCE_EXHAUSTED|(out of|not enough) memory", re.IGNORECASE)  # such failures
OF_GRAPHS = re.compile(r"captur(e|ing)(?![a-z])|cuGraph|CUDA graph|command.?buffer", re.IGNORECASE)


def settle() -> None:
    """Set `ONE_GRAPH` and XLA's flags for this process and its children, before JAX is imported.

    Nothing is tried out where `ONE_GRAPH` is set, where XLA_FLAGS say what goes into graphs, or without an NVIDIA GPU.
    """
    if computes_on_cpu() or not gpus.visible() or GRAPHS in os.environ.get(XLA_FLAGS, ""):
        return
    if ONE_GRAPH not in os.environ:
        file = _file()
        with turn(file.with_suffix(".lock"), len(WAYS) * PATIENCE):
            found = _read(file) or _tried(file)
        os.environ[ONE_GRAPH] = str(int(found["one_graph"]))
    os.environ.update(environment(os.environ[ONE_GRAPH] == "1"))


def environment(whole: bool) -> dict[str, str]:
    """Variables of a process that takes a step as one graph, or in pieces."""
    flags = os.environ.get(XLA_FLAGS, "")
    return {ONE_GRAPH: str(int(whole))} | ({XLA_FLAGS: f"{flags} {GRAPHS}={IN_GRAPHS}".strip()} if whole else {})


def doubt(problem: str) -> bool:
    """Remember, for later processes, that a step failed as one graph though that of the trial did not.

    Args:
        problem: what JAX says of the failure.

    Returns:
        Whether it tells of graphs. Others may have the same cause; they are not remembered.
    """
    if os.environ.get(ONE_GRAPH) != "1" or not OF_GRAPHS.search(problem):
        return False
    with contextlib.suppress(InputError):
        _remember(_file(), False, f"a step failed: {problem}", not PASSING.search(problem))
    return True


def _file() -> Path:
    return compile_cache.check() / f"one_graph_{_key()}.json"


def _read(file: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_bytes())
        if isinstance(found, dict) and isinstance(found.get("one_graph"), bool):
            lasts = found.get("lasting") or time.time() - file.stat().st_mtime < WHILE
            return found if lasts else None
    return None


def _tried(file: Path) -> dict[str, Any]:
    """What a trial says now; remembered for a while alone if it may say otherwise next time."""
    print("trying out, once, whether a step as one CUDA graph is faster on this GPU", file=sys.stderr, flush=True)
    ways: list[tuple[bool, str]] = []
    for way in WAYS:
        ways.append(child.run(TRIAL, patience=PATIENCE, **environment(bool(way))))
        if not ways[-1][0]:
            break
    verdict, why, lasting = judged(ways)
    print(f"{'one graph' if verdict else 'several pieces'}: {why}", file=sys.stderr, flush=True)
    return _remember(file, verdict, why, lasting)


def _remember(file: Path, verdict: bool, why: str, lasting: bool) -> dict[str, Any]:
    """Where the disk lets us."""
    found = {"one_graph": verdict, "why": why, "lasting": lasting}
    with contextlib.suppress(InputError, OSError):
        write_json(file, found)
    return found


def judged(ways: Sequence[tuple[bool, str]]) -> tuple[bool, str, bool]:
    """Whether to take one graph, why, and whether a next trial would say the same.

    Of pieces the faster process counts, of graphs the one that has read its program from JAX's cache, as most do.

    Args:
        ways: whether each process ended well, and what it said, as many of `WAYS` as were tried.
    """
    ended_well, said = ways[-1]
    if not ended_well:
        name = ("in pieces", "as one graph")[WAYS[len(ways) - 1]]
        return False, f"a step {name} failed: {said}", name == "as one graph" and not PASSING.search(said)
    first, *others = (json.loads(said.splitlines()[-1]) for _, said in ways)
    for other in others:
        if not math.isclose(first["loss"], other["loss"], rel_tol=AGREEMENT):
            return False, f"the losses differ: {first['loss']:.5g} and {other['loss']:.5g}", True
    _, last, graph = others
    before, now = min(first["seconds"], last["seconds"]), graph["seconds"]
    why = f"{1000 * before:.2f} ms a step of a small net in pieces, {1000 * now:.2f} as one graph"
    return now <= GAIN * before, why, True


def _key() -> str:
    """Names the GPUs and all versions that the verdict depends on, as far as Linux tells them."""
    texts = [file.read_text(errors="replace") for file in sorted(gpus.DRIVER.glob("gpus/*/information"))]
    models = [line for text in texts for line in text.splitlines() if line.startswith("Model")]
    versions = importlib.metadata.version("jaxlib"), jaxseg.__version__
    seen = gpus.visible()
    kinds = len(seen) > 1, any(name.startswith("MIG-") for name in seen)
    return hashlib.sha256(repr((models, gpus.software(), versions, kinds)).encode()).hexdigest()[:16]
