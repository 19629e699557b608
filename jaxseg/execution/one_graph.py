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
import time
from collections.abc import Iterator, Sequence
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
PATIENCE = 120  # seconds for each way
AGREEMENT = 0.05  # relative difference of the losses; float32 and bfloat16 differ by .005
GAIN = 0.98  # of the time, at most
WAYS = (0, 1, 0)  # pieces twice, since GPUs take time to clock up
WHILE = 3600  # seconds for which a failure is remembered that may not happen again, so that workers do not queue for it
PASSING = re.compile(r"no answer|RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)  # such failures
OF_GRAPHS = re.compile(r"captur(e|ing)(?![a-z])|cuGraph|CUDA graph|command.?buffer", re.IGNORECASE)


def settle() -> None:
    """Set `ONE_GRAPH` for this process and its children, unless it is set or no NVIDIA GPU is there."""
    if ONE_GRAPH in os.environ or computes_on_cpu() or not gpus.visible():
        return
    file = _file()
    with turn(file.with_suffix(".lock"), 4 * PATIENCE):
        found = _read(file) or _tried(file)
    os.environ[ONE_GRAPH] = str(int(found["one_graph"]))


@contextlib.contextmanager
def doubted() -> Iterator[None]:
    """Remember where a step fails as one graph though that of the trial did not: from then on there are pieces.

    Raises:
        UsageError: in place of an error of JAX that tells of graphs. Others may have the same cause; they pass.
    """
    try:
        yield
    except RuntimeError as error:
        of_jax = type(error).__name__ == "JaxRuntimeError"
        if os.environ.get(ONE_GRAPH) != "1" or not of_jax or not OF_GRAPHS.search(str(error)):
            raise
        _give_up(str(error))
        raise UsageError(
            f"the GPU did not take a training step as one CUDA graph: {error}",
            remedy=f"repeat the command, without {ONE_GRAPH} if you have set it: it takes steps in pieces from now on",
        ) from error


def _give_up(why: str) -> None:
    """In this process, whose next run compiles anew, and in later ones."""
    from jaxseg.training.step import make_steps  # which imports JAX

    os.environ[ONE_GRAPH] = "0"
    make_steps.cache_clear()
    with contextlib.suppress(InputError):
        _remember(_file(), False, f"a step failed: {why}")


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
        ways.append(child.run(TRIAL, patience=PATIENCE, **{ONE_GRAPH: str(way)}))
        if not ways[-1][0]:
            break
    verdict, why, lasting = judged(ways)
    print(f"{'one graph' if verdict else 'several pieces'}: {why}", file=sys.stderr, flush=True)
    return _remember(file, verdict, why, lasting)


def _remember(file: Path, verdict: bool, why: str, lasting: bool = True) -> dict[str, Any]:
    """Where the disk lets us."""
    found = {"one_graph": verdict, "why": why, "lasting": lasting}
    with contextlib.suppress(InputError, OSError):
        write_json(file, found)
    return found


def judged(ways: Sequence[tuple[bool, str]]) -> tuple[bool, str, bool]:
    """Whether to take one graph, why, and whether a next trial would say the same.

    Args:
        ways: whether each process ended well, and what it said, as many of `WAYS` as were tried.
    """
    ended_well, said = ways[-1]
    if not ended_well:
        name = ("in pieces", "as one graph")[WAYS[len(ways) - 1]]
        return False, f"a step {name} failed: {said}", name == "as one graph" and not PASSING.search(said)
    first, graph, last = (json.loads(said.splitlines()[-1]) for _, said in ways)
    if not math.isclose(first["loss"], graph["loss"], rel_tol=AGREEMENT):
        return False, f"the losses differ: {first['loss']:.5g} and {graph['loss']:.5g}", True
    before, now = min(first["seconds"], last["seconds"]), graph["seconds"]
    why = f"{1000 * before:.2f} ms a step of a small net in pieces, {1000 * now:.2f} as one graph"
    return now <= GAIN * before, why, True


def _key() -> str:
    """Names the GPUs and all versions that the verdict depends on, as far as Linux tells them."""
    texts = [file.read_text(errors="replace") for file in sorted(gpus.DRIVER.glob("gpus/*/information"))]
    models = [line for text in texts for line in text.splitlines() if line.startswith("Model")]
    versions = [importlib.metadata.version(name) for name in ("jaxlib", "jaxseg")]
    several = len(gpus.visible()) > 1
    return hashlib.sha256(repr((models, gpus.software(), versions, several)).encode()).hexdigest()[:16]
