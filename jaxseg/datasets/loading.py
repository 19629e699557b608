"""A prepared dataset in memory: one padded stack per split, decoded once for all runs."""

import functools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.ahead import in_order
from jaxseg.datasets.card import Card, Row, digest
from jaxseg.datasets.example import InstanceMap, Pixels
from jaxseg.datasets.image_files import from_png
from jaxseg.datasets.prepared import prepared_folder, read_card
from jaxseg.datasets.regions import connected_by_class
from jaxseg.errors import InputError
from jaxseg.files import of_system, unreadable

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Outline:
    """What is known of the images of one split before they are decoded.

    Attributes:
        sizes: (N, 2) int32, true (height, width).
        ids: unique within the dataset; patients: the id where the patient is not known; subsets: such as "testA".
    """

    sizes: npt.NDArray[np.int32]
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    subsets: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def padded(self) -> tuple[int, int, int]:
        """N, and the one height and width that all images are padded to."""
        height, width = self.sizes.max(0)
        return len(self), int(height), int(width)


@dataclass(frozen=True)
class Images(Outline):
    """The images of one split, padded with zeros at the bottom and on the right to one height and width.

    Attributes:
        pixels: (N, H, W, 3) uint8, RGB.
        masks: (N, H, W) uint8, 0 background, 1, 2, … the dataset's classes; with one class 1 is foreground.
    """

    pixels: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset. Each split is decoded when it is first asked for; `InputError` where it is damaged."""

    card: Card
    folder: Path

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def task(self) -> str:
        return self.card.task

    @property
    def fingerprint(self) -> str:
        """Digest of the whole content."""
        return self.card.fingerprint

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the foreground classes, in the order of their values in the masks; at least one."""
        return self.card.classes or (self.card.task,)

    def outline(self, split: str) -> Outline:
        """Sizes and names of "train" or "test", which are known at once."""
        rows = self.card.rows(split)
        return Outline(
            sizes=np.array([(row.height, row.width) for row in rows], np.int32),
            ids=tuple(row.id for row in rows),
            patients=tuple(row.patient for row in rows),
            subsets=tuple(row.subset for row in rows),
        )

    def read_one(self, split: str) -> None:
        """Decode one image, as long as no other thread works; nothing where the split is decoded already.

        TFDS, and what it imports when the first record is read, replaces Python's `__import__` for a while, which
        breaks what another thread imports meanwhile. After one image all is imported, and decoding may go on beside
        other work.
        """
        if split in vars(self):
            return
        rows = self.card.rows(split)
        _decoded(_record(_records(self.folder, split), 0, rows[0], self.folder), rows[0], self.folder)

    @functools.cached_property
    def train(self) -> Images:
        return _images(self, "train")

    @functools.cached_property
    def test(self) -> Images:
        return _images(self, "test")


def open_dataset(name: str, data_dir: Path) -> Dataset:
    """A prepared dataset, nothing of it decoded yet; `InputError` or `UsageError` where there is none."""
    return Dataset(read_card(name, data_dir), prepared_folder(name, data_dir))


@functools.lru_cache(maxsize=4)
def open_once(name: str, data_dir: Path) -> Dataset:
    """The same, kept for all who ask in this process, so that each of its splits is decoded once."""
    return open_dataset(name, data_dir)


def load(name: str, data_dir: Path) -> Dataset:
    """A prepared dataset, decoded; `InputError` or `UsageError` where there is none or it is damaged."""
    dataset = open_dataset(name, data_dir)
    _ = dataset.train, dataset.test
    return dataset


def _images(dataset: Dataset, split: str) -> Images:
    card, folder, outline = dataset.card, dataset.folder, dataset.outline(split)
    rows, shape = card.rows(split), outline.padded
    pixels, masks = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    source = _records(folder, split)
    records = ((index, _record(source, index, row, folder)) for index, row in enumerate(rows))

    def decode(numbered: tuple[int, dict[str, Any]]) -> None:
        index, record = numbered
        row = rows[index]
        image, labels = _decoded(record, row, folder)
        pixels[index, : row.height, : row.width] = image
        masks[index, : row.height, : row.width] = labels if card.classes else labels > 0

    for _ in in_order(decode, records):  # a few records at a time: compressed ones of a large set are half as large
        pass
    return Images(**vars(outline), pixels=pixels, masks=masks)


class InstanceMaps(Mapping[str, InstanceMap]):
    """Image id -> instance map (H, W) int32, not padded; decoded when asked for."""

    def __init__(self, card: Card, folder: Path) -> None:
        self._folder, self._classes = folder, card.classes
        self._sources = {split: _records(folder, split) for split in SPLITS}
        self._places = {row.id: (split, index, row) for split in SPLITS for index, row in enumerate(card.rows(split))}

    def __getitem__(self, image: str) -> InstanceMap:
        split, index, row = self._places[image]
        labels = _decoded(_record(self._sources[split], index, row, self._folder), row, self._folder)[1]
        return connected_by_class(labels) if self._classes else labels

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def instances(name: str, data_dir: Path) -> InstanceMaps:
    """Instance maps of all images of a prepared dataset, training images first.

    Where there are several classes, objects are regions whose pixels share sides and class.
    """
    return InstanceMaps(read_card(name, data_dir), prepared_folder(name, data_dir))


def damaged(name: str, data_dir: Path) -> list[str]:
    """Ids of prepared images that cannot be decoded, or are not those that the card was written for."""
    card, folder = read_card(name, data_dir), prepared_folder(name, data_dir)
    bad = []
    for split in SPLITS:
        rows = card.rows(split)
        source = _records(folder, split) if rows else ()
        for index, row in enumerate(rows):
            try:
                pixels, labels = _decoded(_record(source, index, row, folder), row, folder)
            except InputError:
                bad.append(row.id)
            else:
                if (digest(pixels), digest(labels)) != (row.pixels_sha256, row.instances_sha256):
                    bad.append(row.id)
    return bad


def _records(folder: Path, split: str) -> Any:
    """Records of a split, still compressed: decoding is left to our threads."""
    import tensorflow_datasets as tfds  # half a second that the launcher does not pay

    skip = tfds.decode.SkipDecoding()
    try:
        builder = tfds.builder_from_directory(folder)
        annotation = "classes" if "classes" in builder.info.features else "instances"
        return builder.as_data_source(split, decoders={"image": skip, annotation: skip})
    except MemoryError:
        raise  # no fault of the files
    except Exception as error:  # TFDS raises many types for damaged files
        if of_system(error):
            raise unreadable(folder, error) from error
        remedy = f"delete {folder} and prepare the dataset again"
        raise InputError(f"is incomplete or damaged: {error!r}", file=folder, remedy=remedy) from error


def _record(source: Any, index: int, row: Row, folder: Path) -> dict[str, Any]:
    try:
        return source[index]
    except (RuntimeError, IndexError, ValueError) as error:  # ArrayRecord's checksums come as RuntimeError
        raise _changed(row, folder, str(error)) from error


def _decoded(record: dict[str, Any], row: Row, folder: Path) -> tuple[Pixels, InstanceMap]:
    try:
        image = from_png(record["image"])
        labels = _labels(record)
    except (ValueError, OSError, zlib.error) as error:
        raise _changed(row, folder, str(error)) from error
    size = (row.height, row.width)
    if record["id"].decode() != row.id or image.shape != (*size, 3) or labels.shape != size:
        raise _changed(row, folder, f"image {record['id'].decode()} of shape {image.shape}")
    return image, labels


def _labels(record: dict[str, Any]) -> npt.NDArray[np.int32]:
    name, kind = ("classes", np.uint8) if "classes" in record else ("instances", np.int32)
    packed = record[name]
    flat = np.frombuffer(zlib.decompress(packed["value"]), kind)
    return flat.reshape(packed["shape"]).astype(np.int32, copy=False)


def _changed(row: Row, folder: Path, found: str) -> InputError:
    return InputError(
        "prepared data does not fit its card",
        file=folder,
        found=found,
        expected=f"image {row.id}, height {row.height}, width {row.width}",
        remedy=f"delete {folder} and prepare the dataset again",
    )
