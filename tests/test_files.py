"""What the system says of files becomes an error that names one, with a remedy."""

from pathlib import Path

import pytest

from jaxseg.errors import InputError
from jaxseg.files import check_may_be_folder, new_folder, read_errors, write_text


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
