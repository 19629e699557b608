"""Turns what a command raises into a message and the exit code that the design promises."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from jaxseg.errors import JaxsegError, StoppedError


def command(main: Callable[[], None]) -> None:
    """Run `main` and exit: 0 done; 2 wrong use; 3 bad data or weights; 4 runs failed; 75 stopped on request."""
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; repeat the command to resume", file=sys.stderr)
        sys.exit(StoppedError.exit_code)
    except JaxsegError as error:
        print(f"error: {error}" if error.exit_code != StoppedError.exit_code else str(error), file=sys.stderr)
        sys.exit(error.exit_code)


class StopRequest:
    """Callable that turns true after SIGINT or SIGTERM, so that work ends at its next safe point.

    A second signal acts as usual. Only the main thread of a process may create one.
    """

    def __init__(self) -> None:
        self._asked = False
        self._former = {name: signal.signal(name, self._ask) for name in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        for name, handler in self._former.items():
            signal.signal(name, handler)

    def __call__(self) -> bool:
        return self._asked
