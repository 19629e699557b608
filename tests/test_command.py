"""What a command does with signals that ask it to end."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from jaxseg.command import ECHO, StopRequest


@pytest.fixture(autouse=True)
def _usual_signals() -> Iterator[None]:
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_its_echo_does_nothing_and_a_later_one_acts_as_usual(number: signal.Signals) -> None:
    acted = []
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: acted.append("usual"))
    should_stop = StopRequest()
    assert not should_stop()
    os.kill(os.getpid(), number)
    assert should_stop()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert not acted
    time.sleep(ECHO)
    os.kill(os.getpid(), number)
    assert acted == ["usual"]
    assert should_stop()


def test_whoever_has_been_told_is_ended_by_the_next_signal_in_the_midst_of_a_long_call_too() -> None:
    """Python's own handlers wait for the end of a call into C, such as compiling; the system's do not."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    should_stop = StopRequest()
    os.kill(os.getpid(), signal.SIGTERM)
    assert should_stop()
    time.sleep(ECHO)
    assert should_stop()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_second_ctrl_c_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    StopRequest()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(ECHO)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
