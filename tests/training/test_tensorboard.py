"""TensorBoard's files, read back by the format that TensorFlow describes for them."""

import errno
import struct
import threading
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter

from jaxseg.config import RunConfig
from jaxseg.errors import InputError
from jaxseg.run_folder import RunFolder
from jaxseg.training.journal import Journal


def events(file: Path) -> list[Event]:
    """Records of a length in eight bytes, its checksum in four, the event, and its checksum in four."""
    content, found = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create(RunConfig("glas"))
    return folder


def test_scalars_of_each_validation(folder: RunFolder) -> None:
    before = set(threading.enumerate())
    with Journal(folder, 4) as journal:
        journal.write(6, {"training_loss": 0.5, "epoch": 2, "validation_loss": float("nan")})
        assert set(threading.enumerate()) <= before, "what fails in a thread is told to nobody"
        (file,) = (folder.path / "tensorboard").iterdir()
        assert [value.tag for event in events(file) for value in event.summary.value] == ["training_loss"], "at once"
        journal.write(8, {"training_loss": 0.25})
    first, *marks, one, two = events(file)
    assert first.file_version == "brain.Event:2"
    assert [mark.step for mark in marks] == [5, 5], "what was told of later steps is hidden"
    assert marks[-1].session_log.status == SessionLog.START
    assert [(event.step, event.summary.value[0].simple_value) for event in (one, two)] == [(6, 0.5), (8, 0.25)]
    assert one.wall_time <= two.wall_time


@pytest.mark.parametrize("method", ["__init__", "flush"])
def test_a_full_disk_is_named(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    def told() -> None:
        with Journal(folder, 0) as journal:
            journal.write(1, {"training_loss": 0.5})

    monkeypatch.setattr(RecordWriter, method, full)
    with pytest.raises(InputError, match=r"tensorboard: cannot be written(.|\n)*free some space"):
        told()
