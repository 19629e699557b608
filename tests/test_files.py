"""What the system says of files becomes an error that names one, with a remedy."""

import errno
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jaxseg.errors import InputError
from jaxseg.files import check_may_be_folder, disk_errors, locked, new_folder, read_errors, write_json, write_text


@pytest.mark.parametrize("below", ["file/a.txt", "file/deeper/a.txt"])
def test_a_file_in_the_way_of_a_folder_is_told(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"{below}: cannot be written(.|\n)*choose another folder"):
        write_text(tmp_path / below, "")
    with (
        pytest.raises(InputError, match=rf"{below}: cannot be written(.|\n)*choose another"),
        new_folder(tmp_path / below),
    ):
        pytest.fail("there is no such folder")


def test_a_folder_in_the_way_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder is in the way"):
        write_text(tmp_path, "")


def test_a_link_to_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(InputError, match=r"link/a\.txt: cannot be written(.|\n)*remedy"):
        write_text(tmp_path / "link" / "a.txt", "")


def test_a_folder_that_the_system_does_not_make_is_told() -> None:
    with pytest.raises(InputError, match=r"^/proc/foo: cannot be written(.|\n)*see to what the system says"):
        write_text(Path("/proc/foo"), "")


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EFBIG, "ulimit"), (errno.EPERM, "may write"), (errno.EIO, "see")]
)
def test_whatever_the_system_says_has_a_remedy(tmp_path: Path, number: int, remedy: str) -> None:
    told = rf"^{tmp_path}: cannot be written: {os.strerror(number)}\n +remedy: .*{remedy}"
    with pytest.raises(InputError, match=told), disk_errors(tmp_path):
        raise OSError(number, "something")


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError("no picture")])
def test_what_is_not_of_a_file_is_left_as_it_is(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(OSError, match=r"Broken pipe|no picture"), disk_errors(tmp_path):
        raise error


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "ä" * 127):
        write_text(tmp_path / f"{name}", "told")
        assert (tmp_path / name).read_text() == "told"
    with new_folder(tmp_path / ("f" * 255)) as aside:
        (aside / "file").touch()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    file = tmp_path / ("n" * 256)
    with pytest.raises(InputError, match=rf"^{file}: cannot be written: File name too long(.|\n)*shorter name"):
        write_text(file, "")
    with pytest.raises(InputError, match="File name too long"):
        check_may_be_folder(file)
    assert not list(tmp_path.iterdir())


def test_what_hinders_tidying_up_does_not_hide_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: fail(errno.ESTALE))
    with pytest.raises(InputError, match="your quota is used up"):
        write_text(tmp_path / "file", "")


def test_an_interruption_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    write_text(tmp_path / "file", "former")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "file", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "former"}


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    def write(name: str, error: type[BaseException] | None = None) -> None:
        with new_folder(tmp_path / "folder") as aside:
            (aside / name).touch()
            if error:
                raise error

    write("former")
    write("present")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write("never", error)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "folder", tmp_path / "folder" / "present"]


def test_equal_values_give_equal_json_and_what_json_lacks_gives_none(tmp_path: Path) -> None:
    write_json(tmp_path / "one", {"b": 1, "a": "ä"})
    write_json(tmp_path / "two", {"a": "ä", "b": 1})
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text() == '{\n  "a": "ä",\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "three", math.nan)
    assert not (tmp_path / "three").exists()


def test_a_folder_that_is_still_to_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "new" / "deep"):
        check_may_be_folder(place)
    for place in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(InputError, match=rf"^{tmp_path}/file: is a file(.|\n)*for {place}"):
            check_may_be_folder(place)


def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"^/secret: cannot be read: Permission denied(.|\n)*remedy"),
        read_errors(tmp_path),
    ):
        raise PermissionError(13, "Permission denied", "/secret")
    with pytest.raises(InputError, match=rf"^{tmp_path}: cannot be read"), read_errors(tmp_path):
        raise PermissionError


def test_a_lock_is_waited_for_where_that_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "new" / ".lock"

    def second(*, wait: bool) -> bool:
        with locked(file, wait=wait) as held:
            return held

    with ThreadPoolExecutor() as threads:
        with locked(file) as held:
            assert held
            assert not second(wait=False)
            waiting = threads.submit(second, wait=True)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
        assert waiting.result(timeout=60)
        assert second(wait=False)
