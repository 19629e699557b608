"""The one TensorFlow Datasets builder: any list of examples becomes ArrayRecord files, without TensorFlow."""

import contextlib
import errno
import functools
import os
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.datasets.ahead import in_order
from jaxseg.datasets.card import Row, digest
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example
from jaxseg.datasets.image_files import png
from jaxseg.datasets.perceptual_hash import perceptual_hash
from jaxseg.datasets.regions import connected_by_class, pieces, specks

Encoded = tuple[Row, dict[str, Any]]


class _LocalInfo(tfds.core.DatasetInfo):
    """What a builder says of its dataset, from its own code alone."""

    def initialize_from_bucket(self) -> None:
        """TFDS would look for it in a public bucket, if that were not switched off, and leave a folder in /tmp."""


class PathologyBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Features: image (PNG), instances (int32, zlib), id, patient, subset; splits train and test.

    Datasets of several classes have a feature classes (uint8, zlib) in place of instances.

    Attributes:
        rows: facts of the images written so far, in the order of the records.
    """

    name = "pathology"

    def __init__(
        self, description: Description, examples: Sequence[Example], advance: Callable[[], None], **options: Any
    ) -> None:
        self.description, self.examples, self.advance = description, examples, advance
        self.rows: list[Row] = []
        self.failure: Exception | None = None
        super().__init__(file_format="array_record", **options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                **_annotation(self.description),
                "id": tfds.features.Text(),
                "patient": tfds.features.Text(),
                "subset": tfds.features.Text(),
            }
        )
        return _LocalInfo(
            builder=self,
            description=self.description.title,
            citation=self.description.citation,
            features=features,
            disable_shuffling=True,  # records keep the order of the examples
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        examples = [example for example in self.examples if example.split == split]
        with contextlib.closing(in_order(functools.partial(_encode, description=self.description), examples)) as stream:
            try:
                for index, (row, features) in enumerate(stream):
                    self.rows.append(row)
                    yield index, features
                    self.advance()
            except Exception as error:
                self.failure = error  # TFDS rewrites messages; ours name the remedy
                raise


def write_records(
    folder: Path, version: str, description: Description, examples: Sequence[Example], advance: Callable[[], None]
) -> tuple[Path, list[Row]]:
    """Write the examples below `folder`; returns the TFDS folder and a row per image.

    Every example is read once, several at a time; `advance` is called after each.
    """
    names = {"name": description.name, "VERSION": tfds.core.Version(version)}
    kind = types.new_class("Builder", (PathologyBuilder,), {"skip_registration": True}, lambda body: body.update(names))
    builder = kind(description, examples, advance, data_dir=folder)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(None):
            builder.download_and_prepare()
    except Exception as error:
        raise builder.failure or _disk_error(error) from error
    return Path(builder.data_path), builder.rows


def _disk_error(error: Exception) -> Exception:
    """The error that the record writer reports in words only, as the operating system's own."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    return error


def _annotation(description: Description) -> dict[str, Any]:
    if description.classes:
        return {"classes": tfds.features.Tensor(shape=(None, None), dtype=np.uint8, encoding="zlib")}
    return {"instances": tfds.features.Tensor(shape=(None, None), dtype=np.int32, encoding="zlib")}


def _encode(example: Example, description: Description) -> Encoded:
    pixels, labels = example.read()
    objects = connected_by_class(labels) if description.classes else labels
    annotation = {"classes": labels.astype(np.uint8)} if description.classes else {"instances": labels}
    texts = {"id": example.id, "patient": example.patient, "subset": example.subset}
    row = Row(
        **texts,
        split=example.split,
        height=pixels.shape[0],
        width=pixels.shape[1],
        objects=int(np.count_nonzero(np.unique(objects))),
        foreground=round(float((labels > 0).mean()), 6),
        pixels_sha256=digest(pixels),
        instances_sha256=digest(labels),
        looks=perceptual_hash(pixels),
        specks=specks(objects),
        pieces=pieces(objects),
    )
    return row, {**texts, "image": png(pixels), **annotation}
