"""Preparing: counts, atomicity, idempotency, and what is said when something is wrong."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxseg.datasets import (
    describe,
    instances,
    is_prepared,
    load,
    prepare,
    prepare_folder,
    prepared_folder,
    read_card,
)
from jaxseg.datasets.folder import Masks
from jaxseg.datasets.kumar import IDS
from jaxseg.errors import InputError, UsageError
from jaxseg.files import locked


def _official(pictures, root: Path, name: str) -> None:
    """A tree with the official number of images, each as small as a stamp."""
    if name == "glas":
        for subset, count in (("train", 85), ("testA", 60), ("testB", 20)):
            for k in range(1, count + 1):
                pictures.pair(root / f"{subset}_{k}.bmp", root / f"{subset}_{k}_anno.bmp")
    elif name == "crag":
        for folder, subset, count in (("train", "train", 173), ("valid", "test", 40)):
            for k in range(1, count + 1):
                part = root / folder
                pictures.pair(part / "Images" / f"{subset}_{k}.png", part / "Annotation" / f"{subset}_{k}.png")
    elif name == "kumar":
        for subset, codes in IDS.items():
            for code in codes.split():
                pictures.pair(
                    root / subset / "Images" / f"TCGA-{code}.tif", root / subset / "Labels" / f"TCGA-{code}.mat"
                )
    elif name == "cpm17":
        for split in ("train", "test"):
            for k in range(32):
                part = root / split
                pictures.pair(part / "Images" / f"image_{k:02}.png", part / "Labels" / f"image_{k:02}.mat")
    else:
        for patient, count in enumerate((7, 3, 5, 8, 4, 3, 3, 4, 6, 4, 3), start=1):
            for k in range(1, count + 1):
                tile = f"{patient:02}_{k}.png"
                pictures.pair(root / f"Slide_{patient:02}" / tile, root / f"GT_{patient:02}" / tile, (0, 255))


@pytest.mark.parametrize("name", ["glas", "crag", "kumar", "cpm17", "tnbc"])
def test_official_numbers_are_accepted_and_one_less_is_not(tmp_path: Path, pictures, name: str) -> None:
    manual, data = tmp_path / "manual", tmp_path / "data"
    _official(pictures, manual / name, name)
    prepare(name, data, manual_dir=manual)
    card = read_card(name, data)
    assert card.complete
    assert {split: len(card.rows(split)) for split in ("train", "test")} == describe(name).counts
    assert read_card(name, data).task == describe(name).task

    gone = next(path for path in sorted((manual / name).rglob("*")) if path.suffix in (".bmp", ".png", ".tif"))
    stem = gone.stem.removesuffix("_anno")
    for path in (manual / name).rglob(f"{stem}[._]*"):
        path.unlink()
    with pytest.raises(InputError, match=r"(?s)differs from the official release.*instead of.*--allow-incomplete"):
        prepare(name, tmp_path / "other", manual_dir=manual)
    assert not is_prepared(name, tmp_path / "other")
    prepare(name, tmp_path / "other", manual_dir=manual, allow_incomplete=True)
    lenient = read_card(name, tmp_path / "other")
    assert not lenient.complete
    assert "instead of" in lenient.warnings[0]
    assert lenient.fingerprint != card.fingerprint


def _own(pictures, source: Path, count: int = 6) -> dict:
    return {
        f"s{k}": pictures.pair(source / "images" / f"s{k}.png", source / "masks" / f"s{k}.png") for k in range(count)
    }


def _left_overs(data: Path, name: str) -> list[str]:
    return [path.name for path in (data / name).glob("*")]


def test_prepared_pixels_and_instances_equal_their_sources(tmp_path: Path, pictures) -> None:
    written = _own(pictures, tmp_path / "mine")
    folder = prepare_folder("mylab", tmp_path / "mine", tmp_path / "data", task="glands")
    assert folder == prepared_folder("mylab", tmp_path / "data")
    dataset, maps = load("mylab", tmp_path / "data"), instances("mylab", tmp_path / "data")
    assert (dataset.name, dataset.task) == ("mylab", "glands")
    assert sorted(maps) == sorted(written)
    for images in (dataset.train, dataset.test):
        for k, name in enumerate(images.ids):
            np.testing.assert_array_equal(images.pixels[k], written[name][0])
            np.testing.assert_array_equal(images.masks[k], written[name][1] > 0)
            np.testing.assert_array_equal(maps[name], written[name][1], strict=True)


def test_tfds_reads_the_folder_by_itself(tmp_path: Path, pictures) -> None:
    written = _own(pictures, tmp_path / "mine")
    builder = tfds.builder_from_directory(prepare_folder("mylab", tmp_path / "mine", tmp_path / "data", task="glands"))
    assert builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD
    skip = {"image": tfds.decode.SkipDecoding()}  # TFDS decodes pictures best with a library that we do not need
    records = [record for split in ("train", "test") for record in builder.as_data_source(split, decoders=skip)]
    assert len(records) == len(written)
    for record in records:
        np.testing.assert_array_equal(record["instances"], written[record["id"].decode()][1])
        assert record["image"].startswith(b"\x89PNG")
        assert record["subset"] in (b"train", b"test")


IMPORTS = """
import builtins, sys
from pathlib import Path
from etils.epy import lazy_imports_utils
from rich.progress import Progress

class Watched:
    replaced = before = 0
    def __getattr__(self, name):
        return getattr(builtins, name)
    def __setattr__(self, name, value):
        type(self).replaced += 1
        setattr(builtins, name, value)

def shown(progress, start=Progress.start):
    Watched.before, Watched.replaced = Watched.replaced, 0
    start(progress)

lazy_imports_utils.builtins = Watched()
Progress.start = shown
from jaxseg.datasets import prepare
prepare("synthetic_nuclei_a", Path(sys.argv[1]))
print(Watched.before > 0, Watched.replaced)
"""


def test_while_the_bar_is_shown_imports_are_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPORTS, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "0"]


def test_no_temporary_folder_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    prepare("synthetic_nuclei_a", tmp_path / "data")
    assert list(scratch.iterdir()) == []


def test_preparing_twice_writes_nothing(tmp_path: Path) -> None:
    folder = prepare("synthetic_nuclei_a", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert prepare("synthetic_nuclei_a", tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_equal_content_has_equal_bytes(tmp_path: Path, pictures) -> None:
    _own(pictures, tmp_path / "mine")
    folders = [prepare_folder("x", tmp_path / "mine", tmp_path / data, task="glands") for data in ("one", "two")]
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one["jaxseg.json"] == two["jaxseg.json"]
    assert one.keys() == two.keys() == {"jaxseg.json", *read_card("x", tmp_path / "one").files}


@pytest.mark.parametrize("bad", ["image", "mask", "size"])
def test_a_bad_file_is_named_and_nothing_is_left(tmp_path: Path, pictures, bad: str) -> None:
    _own(pictures, tmp_path / "mine")
    image, mask = tmp_path / "mine" / "images" / "s3.png", tmp_path / "mine" / "masks" / "s3.png"
    if bad == "size":
        pictures.write(mask, np.zeros((5, 5), np.uint8))
    else:
        (image if bad == "image" else mask).write_bytes(b"\x89PNG broken")
    with pytest.raises(InputError, match=r"(?s)s3\.png.*remedy") as caught:
        prepare_folder("mylab", tmp_path / "mine", tmp_path / "data", task="glands")
    assert type(caught.value) is InputError
    assert not is_prepared("mylab", tmp_path / "data")
    assert _left_overs(tmp_path / "data", "mylab") == []


def test_images_in_subfolders_are_told(tmp_path: Path, pictures) -> None:
    _own(pictures, tmp_path)
    for name in ("deep/er/a.png", "deep/b.tif", "deep/notes.txt", "deep/._b.tif"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"")
    prepare_folder("mylab", tmp_path, tmp_path / "data", task="glands")
    card = read_card("mylab", tmp_path / "data")
    assert card.warnings[0] == (
        "left out: 2 images in subfolders of images/: deep/b.tif, deep/er/a.png "
        "(move them up, or list all images in a --table)"
    )
    assert card.complete


def test_images_that_a_table_does_not_name_are_told(tmp_path: Path, pictures) -> None:
    names = sorted(f"{name}.png" for name in _own(pictures, tmp_path))
    (tmp_path / "images" / "deep").mkdir()
    (tmp_path / "images" / "deep" / names[2]).write_bytes(b"")  # called as one that the table names
    (tmp_path / "list.csv").write_text("\n".join(["image", *names[2:]]))
    prepare_folder("mylab", tmp_path, tmp_path / "data", task="glands", table=tmp_path / "list.csv")
    first = read_card("mylab", tmp_path / "data").warnings[0]
    assert first == f"left out: 3 images that list.csv does not name: {names[0]}, {names[1]}, deep/{names[2]}"


def test_clash_of_ids_is_named(tmp_path: Path, pictures) -> None:
    _own(pictures, tmp_path / "mine")
    pictures.write(tmp_path / "mine" / "images" / "s2.tif", pictures.draw()[0])
    with pytest.raises(InputError, match=r"(?s)same id.*s2"):
        prepare_folder("mylab", tmp_path / "mine", tmp_path / "data", task="glands")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left.*free some space"),
        (errno.EFBIG, "File too large.*ulimit -f"),
        (errno.EIO, "Input/output error.*see to what the system says"),
    ],
)
def test_a_disk_that_takes_no_more_is_said(
    tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    _own(pictures, tmp_path / "mine")

    def full(*args: object, **options: object) -> None:
        raise RuntimeError(f"Failed to finalize: write() failed: {os.strerror(number)}; writing x")

    monkeypatch.setattr(tfds.core.GeneratorBasedBuilder, "download_and_prepare", full)
    with pytest.raises(InputError, match=f"(?s){said}"):
        prepare_folder("mylab", tmp_path / "mine", tmp_path / "data", task="glands")
    assert not (tmp_path / "data" / "mylab").exists()


def test_killed_preparation_is_not_picked_up_and_is_cleared(tmp_path: Path) -> None:
    name = "synthetic_glands_a"
    program = (
        f"from pathlib import Path; from jaxseg.datasets import prepare; prepare({name!r}, Path({str(tmp_path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(f"{name}/.*.part/*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not is_prepared(name, tmp_path)
    assert any(left.endswith(".part") for left in _left_overs(tmp_path, name))
    prepare(name, tmp_path)
    assert is_prepared(name, tmp_path)
    assert _left_overs(tmp_path, name) == ["1.0.0"]


def test_missing_manual_directory_explains(tmp_path: Path) -> None:
    for manual in (None, tmp_path / "nix"):
        with pytest.raises(InputError, match=r"(?s)Warwick QU.*Register at https://warwick"):
            prepare("glas", tmp_path / "data", manual_dir=manual)
    assert not (tmp_path / "data").exists()


def test_names_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)nope.*glas, crag, kumar, cpm17, tnbc, synthetic_glands_a"):
        prepare("nope", tmp_path)
    with pytest.raises(UsageError, match="built-in"):
        prepare_folder("glas", tmp_path, tmp_path, task="glands")
    with pytest.raises(UsageError, match="not a usable name"):
        prepare_folder("../x", tmp_path, tmp_path, task="glands")


def test_what_another_process_is_preparing_is_waited_for(tmp_path: Path, pictures) -> None:
    _own(pictures, tmp_path / "mine")
    data = tmp_path / "data"
    aside = data / "mylab" / f".{prepared_folder('mylab', data).name}.0.part"
    with ThreadPoolExecutor(1) as threads:
        with locked(data / ".mylab.lock"):
            aside.mkdir(parents=True)
            waiting = threads.submit(prepare_folder, "mylab", tmp_path / "mine", data, task="glands")
            time.sleep(0.5)
            assert aside.exists()
        waiting.result()
    assert not aside.exists()
    assert is_prepared("mylab", data)


def test_data_dir_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: is a file"):
        prepare("synthetic_glands_a", tmp_path / "file")


@pytest.mark.parametrize("table", [None, Path("t.csv")])
def test_a_source_that_is_a_file_is_named(tmp_path: Path, table: Path | None) -> None:
    (tmp_path / "mine.7z").touch()
    with pytest.raises(InputError, match=r"(?s)mine\.7z: is a file, and no \.zip.*remedy: +unpack it"):
        prepare_folder("mylab", tmp_path / "mine.7z", tmp_path / "data", task="glands", table=table)


@pytest.mark.parametrize("masks", ["auto", "binary", "instances", "classes"])
def test_masks_of_classes_are_told_where_they_are_taken_for_objects(tmp_path: Path, pictures, masks: Masks) -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[5:15, 5:15] = labels[5:15, 30:50] = 1
    labels[30:50, 5:15] = labels[30:50, 30:50] = 1 if masks == "binary" else 2
    for name in ("a", "b", "c"):
        pictures.write(tmp_path / "images" / f"{name}.png", pictures.draw(60, 60)[0])
        pictures.write(tmp_path / "masks" / f"{name}.png", labels)
    classes = {"gland": 1, "vessel": 2} if masks == "classes" else None
    prepare_folder("mylab", tmp_path, tmp_path / "data", task="glands", masks=masks, classes=classes)
    card = read_card("mylab", tmp_path / "data")
    told = any("lies in several pieces in 3 of 3 annotated images: a, b, c" in warning for warning in card.warnings)
    assert told == (masks in ("auto", "instances"))


def test_another_task_or_other_classes_are_not_taken_for_prepared(tmp_path: Path, pictures) -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[5:15, 5:15], labels[30:50, 30:50] = 1, 2
    for name in ("a", "b", "c"):
        pictures.write(tmp_path / "images" / f"{name}.png", pictures.draw(60, 60)[0])
        pictures.write(tmp_path / "masks" / f"{name}.png", labels)
    classes = {"gland": 1, "vessel": 2}

    def again(name: str, task: str = "glands", **options: Any) -> None:
        prepare_folder(name, tmp_path, tmp_path / "data", task=task, **options)

    again("objects")
    again("objects", masks="instances")
    again("classes", masks="classes", classes=classes)
    again("classes", masks="classes", classes=dict(reversed(classes.items())))
    shutil.rmtree(tmp_path / "images")  # none of what follows reads anything
    again("classes", masks="classes")
    with pytest.raises(
        UsageError, match=r"(?s)objects/1\.0\.0: was prep.*found: +task glands.*: task nuclei, one class"
    ):
        again("objects", task="nuclei")
    with pytest.raises(UsageError, match=r"(?s)found: +task glands, one class.*expected: task glands, gland, vessel"):
        again("objects", masks="classes", classes=classes)
    for options in ({}, {"masks": "classes", "classes": {"gland": 1, "duct": 2}}):
        with pytest.raises(UsageError, match=r"(?s)found: +task glands, gland, vessel.*remedy: +choose another --name"):
            again("classes", **options)


def test_a_mask_whose_objects_are_specks_is_told(tmp_path: Path, pictures) -> None:
    """However large the one among them is, which hides the others in a mean."""
    rows, columns = np.mgrid[:60, :60] - 30
    labels = np.where(rows**2 + columns**2 < 400, 255, 0)
    labels[0, ::2] = np.arange(1, 31)
    for name in ("a", "b", "c"):
        pictures.write(tmp_path / "images" / f"{name}.png", pictures.draw(60, 60)[0])
        pictures.write(tmp_path / "masks" / f"{name}.png", labels.astype(np.uint8))
    prepare_folder("mylab", tmp_path, tmp_path / "data", task="glands", masks="instances")
    card = read_card("mylab", tmp_path / "data")
    assert {row.specks for row in card.images} == {30}
    assert any("most objects have less than 8 pixels in 3 of 3 images" in warning for warning in card.warnings)
