"""Contenders in processes of their own that take turns, so that a busy minute of the machine hits all of them."""

import importlib
import itertools
import multiprocessing
import os
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from benchmarks.failures import Failures
from jaxseg.compute.heap import keep_freed_memory
from jaxseg.execution.resources import computes_on_cpu
from jaxseg.execution.start import look_for_garbage_rarely

PATIENCE = 3600  # seconds that a turn, or getting ready, may take
PAUSE = 0.3  # seconds; threads of the contender before stop spinning
MEMORY_SHARE = "0.45"  # of a GPU for JAX, so that the peer fits beside it
SHARE, FORMER_SHARE = "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"  # JAX refuses both at once
Turn = Callable[[], float]  # does the work once and returns its seconds


def warmed(work: Callable[[], object]) -> Turn:
    """Does the work once, and gives the turn that does it again."""

    def turn() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    turn()
    return turn


def drawing(batches: Sequence[object], count: int) -> Turn:
    """Takes so many batches, one after the other, each turn going on where the last one ended."""
    positions = itertools.count()

    def work() -> None:
        for position in itertools.islice(positions, count):
            batches[position]

    return warmed(work)


@dataclass(frozen=True)
class Contender:
    """One side of a comparison.

    Attributes:
        name: in tables; the first contender of a race is ours.
        work: "module:function"; the function takes `setting` and returns a `Turn` that is warmed up.
        setting: plain values.
        one_core: bind the process to one core and count processor time, which other work hardly disturbs.
        cores: to bind the process to; all where none is given.
        environment: variables set before anything is imported.
    """

    name: str
    work: str
    setting: dict[str, Any]
    one_core: bool = False
    cores: tuple[int, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def race(contenders: Sequence[Contender], turns: int) -> dict[str, list[float]]:
    """Seconds of every turn, by contender; turn k of one lies beside turn k of the others.

    One that fails is printed, the others go on without it, and it has no seconds.
    """
    return race_of_teams({contender.name: [contender] for contender in contenders}, turns)


def race_of_teams(teams: dict[str, list[Contender]], turns: int) -> dict[str, list[float]]:
    """The same for teams whose members work at the same time."""
    ready: dict[str, Turn] = {}
    failures = Failures()
    with ExitStack() as stack:
        for name, team in teams.items():
            with failures.noted(name):
                ready[name] = stack.enter_context(all_opened(team))
        return {name: [] for name in teams} | in_turns(ready, turns, failures)


def in_turns(works: Mapping[str, Turn], turns: int, failures: Failures) -> dict[str, list[float]]:
    """Seconds of every turn, by name; none of those that have failed before or fail now."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for name, turn in list(works.items()) * turns:
        if name not in failures.names:
            time.sleep(PAUSE)
            with failures.noted(name):
                seconds[name].append(turn())
    return {name: [] if name in failures.names else times for name, times in seconds.items()}


@contextmanager
def opened(contender: Contender) -> Iterator[Turn]:
    """Start a contender's process and wait until it is warm; ended with the block."""
    with all_opened([contender]) as turn:
        yield turn


@contextmanager
def all_opened(contenders: Sequence[Contender]) -> Iterator[Turn]:
    """The same for several that work at the same time; their turn takes as long as the slowest one's."""
    context = multiprocessing.get_context("spawn")
    served: list[tuple[Contender, Connection, SpawnProcess]] = []
    try:
        for contender in contenders:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, contender), daemon=True)
            process.start()
            theirs.close()
            served.append((contender, ours, process))
        for contender, ours, _ in served:
            _answer(ours, contender)

        def turn() -> float:
            for _, ours, _ in served:
                ours.send(True)
            return max(_answer(ours, contender) for contender, ours, _ in served)

        yield turn
    finally:
        for _, ours, process in served:
            ours.close()  # which ends the child's loop
            process.join(10)
            process.kill()
            process.join()


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many times as fast we are: the median over the turns of their seconds through ours."""
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))


def prepare(contender: Contender) -> Turn:
    """Import and warm up a contender in this process; C library and collector are set as in our commands."""
    os.environ.setdefault(SHARE, os.environ.pop(FORMER_SHARE, MEMORY_SHARE))
    os.environ.update(contender.environment)
    if computes_on_cpu():
        keep_freed_memory()
    look_for_garbage_rarely()
    if contender.cores:
        os.sched_setaffinity(0, contender.cores)
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


def _answer(connection: Connection, contender: Contender) -> float:
    try:
        answer = connection.recv() if connection.poll(PATIENCE) else f"no answer in {PATIENCE / 60:.0f} minutes"
    except EOFError:
        answer = "its process died"
    if isinstance(answer, str):
        raise RuntimeError(f"{contender.name} ({contender.work}): {answer}")
    return answer
