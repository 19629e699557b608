"""What a command does with signals that ask it to end, and where nobody reads on."""

import os
import signal
import subprocess
import sys
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


@pytest.mark.parametrize("lines", [1, 10_000])  # the first of which Python keeps until it ends
def test_ends_without_a_word_where_nobody_reads_on(lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    says = f"input(); command(lambda: [print('x' * 80) for _ in range({lines})])"
    code = f"from jaxseg.command import command; {says}"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_another_broken_pipe_is_told() -> None:
    fails = "import os; from jaxseg.command import command; ends = os.pipe(); os.close(ends[0])\n"
    fails += "command(lambda: os.write(ends[1], b'x'))"
    done = subprocess.run([sys.executable, "-c", fails], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr
