"""Archives as they come: read like unpacked trees, refused by member where they are not harmless, never left behind."""

import contextlib
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxseg.datasets import archives, cpm17, instances, is_prepared, load, prepare, prepare_folder
from jaxseg.datasets.catalogue import READERS
from jaxseg.errors import InputError


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked; empty again after every test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _pack(root: Path, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(root))
        archive.writestr("__MACOSX/._junk.bmp", b"\0\5\26\7")
    return file


PLACES: dict[str, Callable[[Path, str], tuple[Path, Path]]] = {  # (where the archive lies, what --manual-dir is)
    "own folder": lambda top, name: (top / name / "Download (1).ZIP", top),
    "by its name": lambda top, name: (top / f"{name}.zip", top),
    "beside nothing": lambda top, name: (top / "x.zip", top),
    "the archive itself": lambda top, name: (top / "x.zip", top / "x.zip"),
}


@pytest.mark.parametrize("name", ["glas", "crag", "kumar", "cpm17", "tnbc"])
@pytest.mark.parametrize("place", PLACES)
def test_every_dataset_is_read_from_its_archive(tmp_path: Path, pictures, scratch: Path, name: str, place: str) -> None:
    written = pictures.tree(tmp_path / "tree", name)
    file, manual = PLACES[place](tmp_path / "manual", name)
    _pack(tmp_path / "tree", file)
    prepare(name, tmp_path / "data", manual_dir=manual, allow_incomplete=True)
    dataset, maps = load(name, tmp_path / "data"), instances(name, tmp_path / "data")
    assert sorted(maps) == sorted(written)
    told = [(row.id, row.split, row.subset, row.patient) for row in dataset.card.images]
    assert told == [(one.id, one.split, one.subset, one.patient) for one in READERS[name](tmp_path / "tree")]
    for images in (dataset.train, dataset.test):
        for k, image in enumerate(images.ids):
            np.testing.assert_array_equal(images.pixels[k], written[image][0])
            np.testing.assert_array_equal(maps[image], written[image][1])
    assert list(scratch.glob("jaxseg-*")) == []


@pytest.mark.parametrize("inside", [True, False])
def test_two_archives_make_one_dataset(tmp_path: Path, pictures, same, inside: bool) -> None:
    """The contest's training and test sets, with a folder inside the archive or without."""
    expected = {}
    for split, name in (("train", "training_set"), ("test", "test_set")):
        pixels, labels = expected[f"{split}_image_00"] = pictures.draw(4, 7)
        folder = tmp_path / split / (name if inside else "")
        pictures.write(folder / "image_00.png", pixels)
        text = "\n".join(map(str, labels.ravel()))
        (folder / "image_00_mask.txt").write_text(f"7 4\n{text}\n")
        _pack(tmp_path / split, tmp_path / "manual" / f"{name}.zip")
    with archives.unpacked(archives.archives(tmp_path / "manual")) as folder:
        same(cpm17.examples(folder), expected)


def test_a_second_copy_of_an_archive_is_named(tmp_path: Path, pictures) -> None:
    pictures.tree(tmp_path / "tree", "crag")
    for name in ("crag.zip", "crag (1).zip"):
        _pack(tmp_path / "tree", tmp_path / "manual" / "crag" / name)
    with pytest.raises(InputError, match=r"(?s)crag\.zip: member 'CRAG.* stands in another archive too.*remove"):
        prepare("crag", tmp_path / "data", manual_dir=tmp_path / "manual")


def test_an_unpacked_tree_beside_its_archive_is_preferred(tmp_path: Path, pictures) -> None:
    pictures.tree(tmp_path / "manual", "glas")
    (tmp_path / "manual" / "glas.zip.part").write_bytes(b"")
    (tmp_path / "manual" / "broken.zip").write_bytes(b"never looked at")
    prepare("glas", tmp_path / "data", manual_dir=tmp_path / "manual", allow_incomplete=True)
    assert is_prepared("glas", tmp_path / "data")


@pytest.mark.parametrize("around", ["", "my export/2024"])
def test_own_images_come_as_an_archive_too(tmp_path: Path, pictures, around: str) -> None:
    source = tmp_path / "tree" / around
    for k in range(4):
        pictures.pair(source / "images" / f"s{k}.png", source / "masks" / f"s{k}.png")
    prepare_folder("mylab", _pack(tmp_path / "tree", tmp_path / "x.zip"), tmp_path / "data", task="glands")
    assert len(instances("mylab", tmp_path / "data")) == 4


def test_an_archive_of_two_folders_of_images_is_refused(tmp_path: Path, pictures) -> None:
    for lab in ("a", "b"):
        for k in range(4):
            source = tmp_path / "tree" / lab
            pictures.pair(source / "images" / f"s{k}.png", source / "masks" / f"s{k}.png")
    with pytest.raises(InputError, match="images: no such folder"):
        prepare_folder("mylab", _pack(tmp_path / "tree", tmp_path / "x.zip"), tmp_path / "data", task="glands")


def _link(archive: zipfile.ZipFile) -> None:
    member = zipfile.ZipInfo("link.bmp")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(member, "/etc/passwd")


def _pipe(archive: zipfile.ZipFile) -> None:
    member = zipfile.ZipInfo("pipe.bmp")
    member.external_attr = (stat.S_IFIFO | 0o644) << 16
    archive.writestr(member, "")


def _twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("a/x.bmp", b"1")
    archive.writestr("a\\x.bmp", b"2")


HOSTILE: dict[str, tuple[Callable[[zipfile.ZipFile], None], str]] = {
    "absolute": (lambda archive: archive.writestr("/tmp/x.bmp", b""), r"'/tmp/x\.bmp' has an absolute path"),
    "drive": (lambda archive: archive.writestr("C:/x.bmp", b""), r"'C:/x\.bmp' has an absolute path"),
    "parent": (lambda archive: archive.writestr("a/../../x.bmp", b""), "leads out of the archive"),
    "parent, backslashes": (lambda archive: archive.writestr("a\\..\\..\\x.bmp", b""), "leads out of the archive"),
    "link": (_link, r"'link\.bmp' is a link"),
    "pipe": (_pipe, r"'pipe\.bmp' is a link or a special file"),
    "twice": (_twice, "stands twice"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members_are_named_and_nothing_is_written(tmp_path: Path, scratch: Path, kind: str) -> None:
    fill, message = HOSTILE[kind]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("train_1.bmp", b"good")
        fill(archive)
    with pytest.raises(InputError, match=rf"(?s)x\.zip: member .*{message}.*remedy"):
        prepare("glas", tmp_path / "data", manual_dir=tmp_path / "x.zip")
    assert list(scratch.glob("jaxseg-*")) == []
    assert not (tmp_path / "data").exists()


def _bytes_of(file: Path, change: Callable[[bytearray], object]) -> None:
    content = bytearray(file.read_bytes())
    change(content)
    file.write_bytes(content)


def _encrypt(content: bytearray) -> None:
    for signature, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        content[content.index(signature) + offset] |= 1


def _flip(content: bytearray) -> None:
    content[60] ^= 0xFF


def _cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def _method(content: bytearray) -> None:
    for signature, offset in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        content[content.index(signature) + offset] = 98


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_encrypt, r"'train_1\.bmp' is encrypted.*password"),
        (_flip, r"'train_1\.bmp' cannot be unpacked.*download the archive again"),
        (_method, r"'train_1\.bmp' cannot be unpacked.*download the archive again"),
        (_cut, r"cannot be read as a \.zip archive.*download the archive again"),
    ],
)
def test_damage_is_named(tmp_path: Path, scratch: Path, change: Callable[[bytearray], object], message: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_1.bmp", np.random.default_rng(0).bytes(400))
    _bytes_of(tmp_path / "x.zip", change)
    with pytest.raises(InputError, match=rf"(?s)x\.zip: .*{message}"):
        prepare("glas", tmp_path / "data", manual_dir=tmp_path / "x.zip")
    assert list(scratch.glob("jaxseg-*")) == []


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MEMBERS", 2, "holds too many files"),
        ("BYTES", 10, "too large to be a dataset"),
    ],
)
def test_caps_on_count_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for k in range(3):
            archive.writestr(f"train_{k}.bmp", b"12345")
    monkeypatch.setattr(archives, limit, value)
    with pytest.raises(InputError, match=message), archives.unpacked([tmp_path / "x.zip"]):
        pass


def test_the_cap_on_size_is_on_all_archives_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for file in files:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(f"{file.stem}/train_1.bmp", b"123456")
    monkeypatch.setattr(archives, "BYTES", 10)
    with pytest.raises(InputError, match="too large to be a dataset"), archives.unpacked(files):
        pass


def test_what_a_mac_leaves_beside_an_archive_is_none(tmp_path: Path) -> None:
    for name in ("glas.zip", "._glas.zip"):
        (tmp_path / name).write_bytes(b"")
    assert archives.archives(tmp_path) == [tmp_path / "glas.zip"]


def test_too_small_a_disk_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("train_1.bmp", b"1234567890" * 10_000)
    usage = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage._replace(free=40_000))
    with (
        pytest.raises(InputError, match=r"(?s)needs 100\.0 kB.*40\.0 kB free.*TMPDIR"),
        archives.unpacked([tmp_path / "x.zip"]),
    ):
        pass


def test_unpacked_files_vanish_when_the_block_fails(tmp_path: Path, scratch: Path, pictures) -> None:
    pictures.tree(tmp_path / "tree", "glas")
    with contextlib.suppress(KeyError), archives.unpacked([_pack(tmp_path / "tree", tmp_path / "x.zip")]) as folder:
        assert (folder / "Warwick QU Dataset (Released 2016_07_08)" / "train_1.bmp").is_file()
        assert not list(folder.rglob("*MACOSX*"))
        raise KeyError
    assert list(scratch.glob("jaxseg-*")) == []
