"""A disk that is full is told once, whatever libraries log of it."""

import logging
import subprocess
import sys

import pytest
from absl import logging as orbax_log

from jaxseg.logs import tell_disk_errors_once

PROGRAM = """
import logging
from jaxseg.logs import tell_disk_errors_once

class Full:
    def write(self, text):
        raise OSError(28, "No space left on device")
    def flush(self):
        pass

tell_disk_errors_once()
logging.getLogger("parsl").addHandler(logging.StreamHandler(Full()))
logging.getLogger("parsl").error("a task")
"""


def test_a_log_that_cannot_be_written_is_no_news() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_of_what_orbax_logs_only_errors_of_the_system_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    log = orbax_log.get_absl_logger()
    monkeypatch.setattr(log, "filters", [])
    monkeypatch.setattr(log, "propagate", True)
    tell_disk_errors_once()
    log.error("a thread raised an exception: %s", "RESOURCE_EXHAUSTED [os_error_code='28']")
    log.error("a thread raised an exception: %s", "something else")
    assert [record.getMessage() for record in caplog.records] == ["a thread raised an exception: something else"]
