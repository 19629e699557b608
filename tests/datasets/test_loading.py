"""Loading: padding, sizes, order, and damage that is noticed."""

import dataclasses
import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorflow_datasets.core.utils import shard_utils

from jaxseg.datasets import (
    instances,
    is_prepared,
    load,
    open_dataset,
    prepare,
    prepare_folder,
    prepared_folder,
    read_card,
    synthetic,
)
from jaxseg.datasets.card import fingerprint
from jaxseg.errors import InputError, UnreadableError, UsageError

NAME = "synthetic_glands_a"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(NAME, folder)
    return folder


def test_stacks_hold_the_images_and_zeros_beside_them(data: Path) -> None:
    dataset, maps = load(NAME, data), instances(NAME, data)
    examples = {example.id: example for example in synthetic.examples(NAME)}
    for images, split in ((dataset.train, "train"), (dataset.test, "test")):
        assert images.pixels.shape == (len(images), *images.sizes.max(0), 3)
        assert (images.pixels.dtype, images.masks.dtype, images.sizes.dtype) == (np.uint8, np.uint8, np.int32)
        assert len({tuple(size) for size in images.sizes.tolist()}) > 1
        assert images.ids == tuple(name for name, example in examples.items() if example.split == split)
        for k, (height, width) in enumerate(images.sizes):
            example = examples[images.ids[k]]
            pixels, labels = example.read()
            np.testing.assert_array_equal(images.pixels[k, :height, :width], pixels)
            np.testing.assert_array_equal(images.masks[k, :height, :width], labels > 0)
            np.testing.assert_array_equal(maps[example.id], labels)
            assert not images.pixels[k, height:].any()
            assert not images.pixels[k, :, width:].any()
            assert not images.masks[k, height:].any()
            assert not images.masks[k, :, width:].any()
            assert (images.patients[k], images.subsets[k]) == (example.patient, example.subset)


def test_names_and_sizes_are_known_before_anything_is_decoded(data: Path) -> None:
    opened, decoded = open_dataset(NAME, data), load(NAME, data)
    for split, images in (("train", decoded.train), ("test", decoded.test)):
        outline = opened.outline(split)
        assert outline.padded == images.masks.shape
        assert (outline.ids, outline.patients, outline.subsets) == (images.ids, images.patients, images.subsets)
        np.testing.assert_array_equal(outline.sizes, images.sizes)
    assert not {"train", "test"} & set(vars(opened))
    np.testing.assert_array_equal(opened.test.pixels, decoded.test.pixels)
    assert "train" not in vars(opened)


IMPORTS = """
import builtins, sys
from pathlib import Path
from etils.epy import lazy_imports_utils

class Watched:
    replaced = 0
    def __getattr__(self, name):
        return getattr(builtins, name)
    def __setattr__(self, name, value):
        type(self).replaced += 1
        setattr(builtins, name, value)

lazy_imports_utils.builtins = Watched()
from jaxseg.datasets import open_dataset
dataset = open_dataset(sys.argv[1], Path(sys.argv[2]))
dataset.read_one("train")
before, Watched.replaced = Watched.replaced, 0
dataset.train
print(before > 0, Watched.replaced)
"""


def test_after_one_image_decoding_leaves_imports_of_other_threads_alone(data: Path) -> None:
    command = [sys.executable, "-c", IMPORTS, NAME, str(data)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "0"]


def test_order_holds_over_several_files(tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_utils.ShardConfig, "get_number_shards", lambda self, *arguments: 3)
    written = {}
    for k in range(15):
        image, mask = tmp_path / "images" / f"s{k}.png", tmp_path / "masks" / f"s{k}.png"
        written[f"s{k}"] = pictures.pair(image, mask)
    folder = prepare_folder("x", tmp_path, tmp_path / "data", task="glands")
    assert len(list(folder.glob("x-train*"))) == 3
    train = load("x", tmp_path / "data").train
    for k, name in enumerate(train.ids):
        np.testing.assert_array_equal(train.pixels[k], written[name][0])


def test_fingerprint_is_of_the_content(data: Path, tmp_path: Path) -> None:
    prepare(NAME, tmp_path)
    assert load(NAME, tmp_path).fingerprint == load(NAME, data).fingerprint
    prepare("synthetic_glands_b", tmp_path)
    assert load("synthetic_glands_b", tmp_path).fingerprint != load(NAME, data).fingerprint


def test_unknown_and_unprepared_datasets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)glas is not prepared.*prepare\.py glas --manual-dir DIR --data-dir"):
        load("glas", tmp_path)
    with pytest.raises(UsageError, match=r"(?s)no such dataset.*nope.*glas, crag"):
        load("nope", tmp_path)


def _copy(data: Path, tmp_path: Path) -> Path:
    target = prepared_folder(NAME, tmp_path)
    target.mkdir(parents=True)
    for file in prepared_folder(NAME, data).iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    assert is_prepared(NAME, tmp_path)
    return target


@pytest.mark.parametrize("damage", ["card gone", "card cut", "records gone", "records cut"])
def test_half_a_folder_is_not_prepared(data: Path, tmp_path: Path, damage: str) -> None:
    folder = _copy(data, tmp_path)
    file = folder / "jaxseg.json" if damage.startswith("card") else next(folder.glob("*train*"))
    if damage.endswith("gone"):
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert not is_prepared(NAME, tmp_path)
    with pytest.raises(InputError, match=r"(?s)incomplete or damaged.*delete .* and prepare the dataset again"):
        load(NAME, tmp_path)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("dataset_info.json", (b"{", b"[")),
        ("dataset_info.json", (b"array_record", b"array_recorf")),
        ("features.json", (b"{", b"z")),
        ("features.json", (b"features.image_feature.Image", b"features.image_feature.Imagf")),
    ],
)
def test_a_changed_byte_of_what_tfds_keeps_is_noticed(
    data: Path, tmp_path: Path, file: str, change: tuple[bytes, bytes]
) -> None:
    folder = _copy(data, tmp_path)
    content = (folder / file).read_bytes()
    assert change[0] in content
    (folder / file).write_bytes(content.replace(*change, 1))
    with pytest.raises(InputError, match=r"(?s)incomplete or damaged.*delete .* and prepare the dataset again"):
        load(NAME, tmp_path)


@pytest.mark.parametrize("name", ["jaxseg.json", "records"])
def test_what_may_not_be_read_is_not_taken_for_damage(
    data: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of another user, whose files cannot be made here by one who may read everything."""
    folder = _copy(data, tmp_path)
    if name == "jaxseg.json":
        monkeypatch.setattr(Path, "read_bytes", _refused)
    else:
        monkeypatch.setattr(os, "access", lambda *_: False)
    assert not is_prepared(NAME, tmp_path)
    with pytest.raises(UnreadableError, match=r"Permission denied(.|\n)*repeat the command") as raised:
        load(NAME, tmp_path)
    assert str(folder) in str(raised.value)
    with pytest.raises(UnreadableError, match="Permission denied"):
        prepare(NAME, tmp_path)


def _refused(path: Path) -> bytes:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def test_records_of_another_dataset_are_noticed(data: Path, tmp_path: Path) -> None:
    folder = _copy(data, tmp_path)
    card = read_card(NAME, tmp_path)
    first, *others = card.images
    rows = (dataclasses.replace(first, id="other"), *others)
    dataclasses.replace(card, images=rows, fingerprint=fingerprint(card.task, rows)).write(folder)
    with pytest.raises(InputError, match="does not fit its card"):
        load(NAME, tmp_path)


def test_a_changed_byte_of_a_picture_is_noticed(data: Path, tmp_path: Path) -> None:
    folder = _copy(data, tmp_path)
    file = next(folder.glob("*train*"))
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 200] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"delete .* and prepare the dataset again"):
        load(NAME, tmp_path)


def test_asking_whether_it_is_prepared_imports_nothing_heavy(data: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from jaxseg import datasets as d\n"
        f"data = Path({str(data)!r})\n"
        f"assert d.is_prepared({NAME!r}, data) and d.read_card({NAME!r}, data).task == 'glands'\n"
        "print([m for m in ('jax', 'tensorflow_datasets', 'pandas', 'matplotlib', 'skimage') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_cards_survive_their_file(data: Path) -> None:
    card = read_card(NAME, data)
    assert len(card.images) == 32
    assert card.images[0].foreground == pytest.approx(np.mean(instances(NAME, data)[card.images[0].id] > 0), abs=1e-6)
    assert card.images[0].objects == instances(NAME, data)[card.images[0].id].max()
