"""What a command does with signals that ask it to end, and where nobody reads on."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from jaxseg.command import ECHO, StopRequest, command, terminated_like_interrupted
from jaxseg.errors import StoppedError

pytestmark = pytest.mark.usefixtures("usual_signals")


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


def test_signals_act_as_usual_after_a_release() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    StopRequest().release()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    should_stop = StopRequest()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(StoppedError, match="repeat the command"):
        should_stop.release()


def test_a_second_termination_does_not_stop_what_the_first_has_put_in_order() -> None:
    """`timeout` signals a process by itself and with its group."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    order = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            order.append("went on")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            order.append("removed")

    with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
        work()
    assert order == ["removed"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_second_ctrl_c_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    StopRequest()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(ECHO)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("lines", [1, 10_000])  # the first of which Python keeps until it ends
@pytest.mark.parametrize("say", ["print", "Console().print"])
def test_ends_without_a_word_where_nobody_reads_on(lines: int, say: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    says = f"input(); command(lambda: [{say}('x' * 80) for _ in range({lines})])"
    code = f"from jaxseg.command import command; from jaxseg.console import Console; {says}"
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


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("say", ["print", "Console().print"])
def test_output_that_cannot_be_written_is_told(say: str, unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    code = f"from jaxseg.command import command; from jaxseg.console import Console; command(lambda: {say}('x'))"
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("error: standard output: cannot be written: No space left on device\n")
    assert len(done.stderr.splitlines()) == 2, "the remedy, and nothing else"
    assert "what was done stays" in done.stderr


def test_an_error_is_told_where_output_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    code = "from jaxseg.command import command; from jaxseg.errors import UsageError\n"
    code += "def main():\n    print('x')\n    raise UsageError('no such option')\ncommand(main)"
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: no such option\n")


def test_a_file_that_the_system_refuses_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/studies/theirs/DONE.json")

    with pytest.raises(SystemExit) as ended:
        command(main)
    assert ended.value.code == 3
    told = capsys.readouterr().err
    assert told.startswith("error: /studies/theirs/DONE.json: the system does not let us: Permission denied\n")
    assert "remedy" in told


def test_another_error_of_the_system_is_a_fault_of_ours() -> None:
    def main() -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file"):
        command(main)


def test_another_broken_pipe_is_told() -> None:
    fails = "import os; from jaxseg.command import command; ends = os.pipe(); os.close(ends[0])\n"
    fails += "command(lambda: os.write(ends[1], b'x'))"
    done = subprocess.run([sys.executable, "-c", fails], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr
