"""Archives as they were downloaded: looked through before anything is written, unpacked aside, removed at the end."""

import contextlib
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from rich import filesize

from jaxseg.errors import InputError
from jaxseg.files import disk_errors

MEMBERS = 100_000  # files in one archive, at most; the largest official one holds some hundreds
BYTES = 64 << 30  # unpacked, of all archives together
_AGAIN = "download the archive again from its official place"
_BY_HAND = "unpack it by hand, look at what it holds, and give the folder instead of the archive"


def archives(place: Path) -> list[Path]:
    """`place` itself if it is a .zip, or the .zip files that lie directly in that folder."""
    if place.is_dir():
        return sorted(file for file in place.iterdir() if is_archive(file) and not file.name.startswith("."))
    return [place] if is_archive(place) else []


def is_archive(file: Path) -> bool:
    return file.suffix.lower() == ".zip" and file.is_file()


@contextlib.contextmanager
def unpacked(files: Sequence[Path]) -> Iterator[Path]:
    """A temporary folder (TMPDIR) with what the archives hold, while the block runs.

    Archives that hold one folder share the place, so that parts of a dataset come together; others get a folder of
    their own, named like them.

    Raises:
        InputError: an archive is damaged or encrypted, has members that point elsewhere (absolute, "..", links), is
            too large, or the disk is; the message names archive and member. Nothing has been written then, but for
            damage that shows only while unpacking.
    """
    with tempfile.TemporaryDirectory(prefix="jaxseg-") as scratch:
        plans = {file: _plan(file) for file in files}
        _check_room(plans, Path(scratch))
        for file, members in plans.items():
            _unpack(file, members, Path(scratch) if _one_folder(members) else Path(scratch) / file.stem)
        yield Path(scratch)


def _plan(file: Path) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Where each member goes; all of them are judged before the first is written."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"cannot be read as a .zip archive: {error}", file=file, remedy=_AGAIN) from error
    if len(members) > MEMBERS:
        raise InputError("holds too many files", file=file, found=len(members), expected=f"at most {MEMBERS}")
    plan: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in members:
        path = _inside(file, member)
        if member.is_dir() or member.filename.endswith("\\") or _litter(path):
            continue
        if path in plan:
            raise _refusal(file, member, "stands twice in the archive", _BY_HAND)
        plan[path] = member
    return plan


def _inside(file: Path, member: zipfile.ZipInfo) -> PurePosixPath:
    """The member's path below the archive's own folder; some programs for Windows separate by backslashes."""
    name = member.filename.replace("\\", "/")
    path = PurePosixPath(name)
    if path.is_absolute() or re.match(r"[A-Za-z]:", name):
        raise _refusal(file, member, "has an absolute path", _BY_HAND)
    if ".." in path.parts or not path.parts:
        raise _refusal(file, member, "leads out of the archive", _BY_HAND)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refusal(file, member, "is a link or a special file", _BY_HAND)
    if member.flag_bits & 1:
        raise _refusal(file, member, "is encrypted", "unpack it with its password and give the folder instead")
    return path


def _litter(path: PurePosixPath) -> bool:
    return "__MACOSX" in path.parts or path.name.startswith(".")


def _refusal(file: Path, member: zipfile.ZipInfo, problem: str, remedy: str) -> InputError:
    return InputError(f"member {member.filename!r} {problem}", file=file, remedy=remedy)


def _one_folder(plan: dict[PurePosixPath, zipfile.ZipInfo]) -> bool:
    return all(len(path.parts) > 1 for path in plan) and len({path.parts[0] for path in plan}) == 1


def _check_room(plans: dict[Path, dict[PurePosixPath, zipfile.ZipInfo]], scratch: Path) -> None:
    needed = sum(member.file_size for plan in plans.values() for member in plan.values())
    names = ", ".join(str(file) for file in plans)
    if needed > BYTES:
        found, expected = f"{needed / 1e9:.1f} GB unpacked", f"at most {BYTES / 1e9:.0f} GB"
        raise InputError("is too large to be a dataset of this kind", file=names, found=found, expected=expected)
    free = shutil.disk_usage(scratch).free
    if needed > free:
        found = f"{filesize.decimal(free)} free in {scratch.parent}"
        remedy = "free some, or set TMPDIR to a larger place"
        raise InputError(f"needs {filesize.decimal(needed)} to be unpacked", file=names, found=found, remedy=remedy)


def _unpack(file: Path, plan: dict[PurePosixPath, zipfile.ZipInfo], target: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        for path, member in plan.items():
            place = target / path
            if place.exists():
                raise _refusal(file, member, "stands in another archive too", "remove the archive that is a copy")
            try:
                with disk_errors(place):
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as source, place.open("xb") as sink:
                        shutil.copyfileobj(source, sink)  # never more than the announced size
            except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError) as error:
                raise _refusal(file, member, f"cannot be unpacked: {error}", _AGAIN) from error
