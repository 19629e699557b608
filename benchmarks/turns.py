"""Contenders in processes of their own that take turns, so that a busy minute of the machine hits all of them."""

import importlib
import multiprocessing
import os
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from jaxseg.execution.start import keep_freed_memory

PAUSE = 0.3  # seconds; threads of the contender before stop spinning
MEMORY_SHARE = "0.45"  # of a GPU for JAX, so that the peer fits beside it
Turn = Callable[[], float]  # does the work once and returns its seconds


@dataclass(frozen=True)
class Contender:
    """One side of a comparison.

    Attributes:
        name: in tables; the first contender of a race is ours.
        work: "module:function"; the function takes `setting` and returns a `Turn` that is warmed up.
        setting: plain values.
        one_core: bind the process to one core and count processor time, which other work hardly disturbs.
        environment: variables set before anything is imported.
    """

    name: str
    work: str
    setting: dict[str, Any]
    one_core: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def race(contenders: Sequence[Contender], turns: int) -> dict[str, list[float]]:
    """Seconds of every turn, by contender; turn k of one lies beside turn k of the others."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    with ExitStack() as stack:
        ready = {contender.name: stack.enter_context(opened(contender)) for contender in contenders}
        for _ in range(turns):
            for name, turn in ready.items():
                time.sleep(PAUSE)
                seconds[name].append(turn())
    return seconds


@contextmanager
def opened(contender: Contender) -> Iterator[Turn]:
    """Start a contender's process and wait until it is warm; ended with the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, contender), daemon=True)
    process.start()
    theirs.close()
    try:
        _answer(ours, contender)
        yield lambda: _turn(ours, contender)
    finally:
        ours.close()  # which ends the child's loop
        process.join(10)
        process.kill()
        process.join()


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many times as fast we are: the median over the turns of their seconds through ours."""
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))


def prepare(contender: Contender) -> Turn:
    """Import and warm up a contender in this process; the C library keeps freed memory, as in our commands."""
    keep_freed_memory()
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", MEMORY_SHARE)
    os.environ.update(contender.environment)
    if contender.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    module, function = contender.work.split(":")
    return getattr(importlib.import_module(module), function)(contender.setting)


def processor_seconds(turn: Turn) -> float:
    """Processor time of this process that a turn takes."""
    started = time.process_time()
    turn()
    return time.process_time() - started


def _serve(connection: Connection, contender: Contender) -> None:
    try:
        turn = prepare(contender)
        connection.send(0.0)
        while connection.recv():
            connection.send(processor_seconds(turn) if contender.one_core else turn())
    except EOFError:
        return  # the race is over
    except BaseException:
        connection.send(traceback.format_exc())


def _turn(connection: Connection, contender: Contender) -> float:
    connection.send(True)
    return _answer(connection, contender)


def _answer(connection: Connection, contender: Contender) -> float:
    try:
        answer = connection.recv()
    except EOFError:
        answer = "its process died"
    if isinstance(answer, str):
        raise RuntimeError(f"{contender.name} ({contender.work}): {answer}")
    return answer
