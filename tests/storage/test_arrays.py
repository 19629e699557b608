"""Trees of arrays on disk: the same bits back, and no damage goes unnoticed."""

import errno
import importlib
import logging
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from jaxseg.errors import DeviceError, InputError, UnreadableError
from jaxseg.files import write_json
from jaxseg.storage import arrays


def tree() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {
        "params": {"stem": {"kernel": draw.standard_normal((3, 3, 2, 4)).astype(np.float32)}},
        "stats": {"count": np.arange(5, dtype=np.int64), "mean": np.array([np.nan, -0.0], np.float32)},
    }


def test_the_same_bits_come_back_with_what_was_kept_about_them(tmp_path: Path) -> None:
    digest = arrays.save(tmp_path / "a", tree(), {"step": 7})
    found, about = arrays.load(tmp_path / "a")
    assert about == {"step": 7}
    assert arrays.digest(found) == digest == arrays.digest(tree())
    assert found["params"]["stem"]["kernel"].tobytes() == tree()["params"]["stem"]["kernel"].tobytes()
    assert found["stats"]["mean"].tobytes() == tree()["stats"]["mean"].tobytes()


def test_saving_while_another_thread_reads(tmp_path: Path) -> None:
    """A resumed run is scored with checkpoints of its former process while its last one is written.

    Where threads take turns as often as here, about every sixth save fails if Orbax is let do both at once.
    """
    arrays.save(tmp_path / "read", tree())
    ended = threading.Event()

    def read() -> int:
        times = 0
        while not ended.is_set():
            arrays.load(tmp_path / "read")
            times += 1
        return times

    usual = sys.getswitchinterval()
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(read)
        try:
            sys.setswitchinterval(1e-5)
            for _ in range(40):
                arrays.save(tmp_path / "saved", tree())
        finally:
            sys.setswitchinterval(usual)
            ended.set()
        assert reading.result() > 0


def test_the_digest_sees_names_shapes_types_and_every_byte() -> None:
    def variants() -> list[dict[str, Any]]:
        renamed, reshaped, retyped, changed = tree(), tree(), tree(), tree()
        renamed["stats"]["total"] = renamed["stats"].pop("count")
        reshaped["params"]["stem"]["kernel"] = reshaped["params"]["stem"]["kernel"].reshape(3, 3, 4, 2)
        retyped["stats"]["count"] = retyped["stats"]["count"].view(np.uint64)
        changed["stats"]["count"][4] += 1
        return [tree(), renamed, reshaped, retyped, changed]

    assert len({arrays.digest(variant) for variant in variants()}) == 5


def data_files(folder: Path) -> list[Path]:
    """Files that hold array data: the largest ones."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)
    return [path for path in files if path.name != arrays.MANIFEST]


def test_one_flipped_byte_in_the_data_is_noticed(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
    arrays.save(tmp_path / "a", {"x": values})
    largest = data_files(tmp_path / "a")[0]
    content = bytearray(largest.read_bytes())
    assert len(content) > values.nbytes / 2
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged|cannot be read"):
        arrays.load(tmp_path / "a")


def test_a_missing_data_file_is_noticed(tmp_path: Path) -> None:
    arrays.save(tmp_path / "a", {"x": np.random.default_rng(0).standard_normal(50_000)})
    data_files(tmp_path / "a")[0].unlink()
    with pytest.raises(InputError, match=r"is damaged|cannot be read"):
        arrays.load(tmp_path / "a")


def test_too_little_memory_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise MemoryError

    arrays.save(tmp_path / "a", tree())
    monkeypatch.setattr("jaxseg.storage.orbax_io.read", full)
    with pytest.raises(MemoryError):
        arrays.load(tmp_path / "a")


def test_what_orbax_logs_of_a_full_disk_does_not_bury_our_own_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    importlib.import_module("jaxseg.storage.orbax_io")  # and Orbax, which logs to this one
    log = logging.getLogger("absl")
    monkeypatch.setattr(log, "propagate", True)
    log.error("a thread raised an exception: %s", "RESOURCE_EXHAUSTED [os_error_code='28']")
    log.error("a thread raised an exception: %s", "something else")
    assert [record.getMessage() for record in caplog.records] == ["a thread raised an exception: something else"]


def of_tensorstore(folder: Path) -> None:
    raise ValueError("PERMISSION_DENIED: Error opening local file [os_error_code='13']")


def in_the_midst(folder: Path) -> None:
    try:
        raise OSError(errno.EMFILE, "Too many open files")
    except OSError as error:
        raise RuntimeError("Orbax gave up") from error


def while_it_was_handled(folder: Path) -> None:
    try:
        raise OSError(errno.EMFILE, "Too many open files")
    finally:
        raise RuntimeError("Orbax gave up")


@pytest.mark.parametrize(
    ("read", "said"),
    [(of_tensorstore, "Permission denied"), (in_the_midst, "Too many open"), (while_it_was_handled, "Too many open")],
)
def test_what_the_system_does_not_let_us_read_is_not_taken_for_damage(
    read: Callable[[Path], None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays.save(tmp_path / "a", tree())
    monkeypatch.setattr("jaxseg.storage.orbax_io.read", read)
    with pytest.raises(UnreadableError, match=rf"a: cannot be read: {said}(.|\n)*repeat the command"):
        arrays.load(tmp_path / "a")


def test_a_device_that_cannot_be_used_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend() -> str:
        raise AssertionError

    arrays.save(tmp_path / "a", tree())
    monkeypatch.setattr(jax, "default_backend", backend)
    with pytest.raises(DeviceError, match="cannot use its device"):
        arrays.load(tmp_path / "a")


def test_a_manifest_that_names_other_parts_is_noticed(tmp_path: Path) -> None:
    arrays.save(tmp_path / "a", tree())
    manifest = tmp_path / "a" / arrays.MANIFEST
    manifest.write_text(manifest.read_text().replace("params/stem/kernel", "params/trunk/kernel"))
    with pytest.raises(InputError, match="is damaged"):
        arrays.load(tmp_path / "a")


@pytest.mark.parametrize("content", ["{}", '"text"', '{"sha256": "0"}', '{"about": {}}', '{"sha256": 1, "about": {}}'])
def test_a_manifest_that_is_none_is_noticed(tmp_path: Path, content: str) -> None:
    arrays.save(tmp_path / "a", tree())
    (tmp_path / "a" / arrays.MANIFEST).write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json: is not a checkpoint's manifest(.|\n)*delete"):
        arrays.load(tmp_path / "a")


def test_a_checkpoint_with_every_array_by_itself_opens(tmp_path: Path) -> None:
    digest = arrays.save(tmp_path / "a", tree())
    shutil.rmtree(tmp_path / "a" / "arrays")
    ocp.save(tmp_path / "a" / "arrays", tree())
    write_json(tmp_path / "a" / arrays.MANIFEST, {"sha256": digest, "about": {}})
    assert arrays.digest(arrays.load(tmp_path / "a")[0]) == digest


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json: no such file"):
        arrays.load(tmp_path / "none")


def test_wrong_missing_and_surplus_shapes_are_named(tmp_path: Path) -> None:
    arrays.save(tmp_path / "a", tree())
    like = tree()
    like["params"]["stem"]["kernel"] = np.zeros((1, 1, 2, 4), np.float32)
    like["stats"]["var"] = like["stats"].pop("mean")
    with pytest.raises(InputError) as error:
        arrays.load(tmp_path / "a", like)
    message = str(error.value)
    assert "3 tensors" in message
    for part in ("params/stem/kernel (3, 3, 2, 4)", "params/stem/kernel (1, 1, 2, 4)", "stats/mean nothing"):
        assert part in message
    assert "stats/var missing" in message


def test_saving_replaces_and_leaves_nothing_aside(tmp_path: Path) -> None:
    arrays.save(tmp_path / "a", tree())
    arrays.save(tmp_path / "a", {"x": np.ones(3, np.float32)})
    assert list(arrays.load(tmp_path / "a")[0]) == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_save_that_fails_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = arrays.save(tmp_path / "a", tree())
    original = arrays.load

    def damaged(folder: Path, like: Any = None, remedy: str | None = None) -> Any:
        raise InputError("is damaged", file=folder)

    monkeypatch.setattr(arrays, "load", damaged)
    with pytest.raises(InputError, match="is damaged"):
        arrays.save(tmp_path / "a", {"x": np.ones(3, np.float32)})
    assert arrays.digest(original(tmp_path / "a")[0]) == digest
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise ValueError("RESOURCE_EXHAUSTED: Failed to write: No space left on device [os_error_code='28']")

    monkeypatch.setattr("jaxseg.storage.orbax_io.ocp.save", full)
    with pytest.raises(InputError, match=r"checkpoint: cannot be written: No space left(.|\n)*free some space"):
        arrays.save(tmp_path / "checkpoint", {"a": np.ones(3)})
    assert list(tmp_path.iterdir()) == []
