"""Turns what a command raises into a message and the exit code that README.md promises."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from jaxseg.errors import InputError, JaxsegError, StoppedError

ECHO = 0.5  # seconds
OUTPUT = 1  # number of the standard output; `sys.stdout` may be None


def command(main: Callable[[], None]) -> None:
    """Run `main` and exit: 0 done; 2 wrong use; 3 bad data or weights; 4 runs failed; 75 stopped."""
    try:
        main()
        print(end="", flush=True)  # now, and not when Python ends, where nobody can be told of what fails
    except KeyboardInterrupt:
        _end(StoppedError("stopped; repeat the command to resume"))
    except JaxsegError as error:
        _end(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            _drop_output()
            sys.exit(128 + signal.SIGPIPE)
        if (told := _of_output(error) or _of_permission(error)) is None:
            raise
        _end(told)


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """While the block runs SIGTERM ends it as Ctrl-C does, so that what lies aside is removed; only the first counts.

    For work that is done anew after a stop; what saves its state asks a `StopRequest`. In the main thread only.
    """
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # `timeout` signals a process by itself and with its group
    raise KeyboardInterrupt


def _end(error: JaxsegError) -> NoReturn:
    print(f"error: {error}" if error.exit_code != StoppedError.exit_code else str(error), file=sys.stderr)
    if _output_fails():
        _drop_output()
    sys.exit(error.exit_code)


def _drop_output() -> None:
    """For what Python still has to write, and would complain of when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), OUTPUT)


def _output_fails() -> bool:
    """Whether standard output takes nothing, such as a file on a full disk."""
    if sys.stdout is None:
        return False
    try:
        sys.stdout.flush()  # what failed before is still to be written
        os.write(OUTPUT, b"")  # or was lost, where Python keeps nothing
    except OSError:
        return True
    return False


def _of_output(error: OSError) -> InputError | None:
    if error.errno is None or error.filename is not None or not _output_fails():
        return None
    remedy = "what was done stays: mend it or write to another place, then repeat the command"
    return InputError(f"cannot be written: {os.strerror(error.errno)}", file="standard output", remedy=remedy)


def _of_permission(error: OSError) -> InputError | None:
    """Of a file that nobody expected to be another user's: nothing is known to be wrong with it."""
    if not isinstance(error, PermissionError) or error.filename is None:
        return None
    remedy = "see who may read and write it and the folders above it, then repeat the command"
    return InputError(f"the system does not let us: {error.strerror}", file=error.filename, remedy=remedy)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has ended, as `head` does when it has seen enough."""
    poll = select.poll()
    poll.register(OUTPUT, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class StopRequest:
    """Callable that turns true after SIGINT or SIGTERM, so that work ends at its next safe point.

    A second signal acts as usual, if it is not an echo of the first: `timeout` and `make` signal a process by itself
    and with its group. Only the main thread of a process may create one, and ask it.
    """

    def __init__(self) -> None:
        self._asked: float | None = None  # when it was first
        self._former = {name: signal.signal(name, self._ask) for name in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked is None:
            self._asked = time.monotonic()
        elif self._echo_is_over():
            os.kill(os.getpid(), number)

    def _echo_is_over(self) -> bool:
        """Whether the next signal counts; if so, it acts as usual from here on, in the midst of a long call too."""
        if self._asked is None or time.monotonic() < self._asked + ECHO:
            return False
        self._restore()
        return True

    def _restore(self) -> None:
        for name, handler in self._former.items():
            signal.signal(name, handler)

    def __call__(self) -> bool:
        self._echo_is_over()
        return self._asked is not None

    def release(self) -> None:
        """Let signals act as usual from here on; `StoppedError` where one came already."""
        self._restore()
        if self._asked is not None:
            raise StoppedError("stopped before it began; repeat the command to resume")
