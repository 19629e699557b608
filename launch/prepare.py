"""Prepare datasets: python launch/prepare.py glas kumar --manual-dir DOWNLOADS --data-dir DATA

Built in: glas, crag, kumar, cpm17, tnbc (official files, see docs/datasets.md), synthetic_{glands,nuclei,tissue}_{a,b}.

Your own images, which lie in DIR/images, with masks of the same names in DIR/masks:
    python launch/prepare.py folder --name mylab --source DIR --task glands --data-dir DATA

With several classes:
    python launch/prepare.py folder ... --masks classes --classes gland=1 vessel=2
"""

from dataclasses import dataclass, fields
from pathlib import Path

import tyro

from jaxseg.command import command, terminated_like_interrupted
from jaxseg.config import Locations
from jaxseg.datasets import (
    describe,
    is_prepared,
    prepare,
    prepare_folder,
    prepared_folder,
    read_card,
    shared_with_others,
    summary,
)
from jaxseg.datasets.classes import named
from jaxseg.datasets.folder import Masks
from jaxseg.errors import UsageError

FOLDER = "folder"


@dataclass(frozen=True)
class Flags:
    """Options of the command.

    Attributes:
        datasets: names of built-in datasets, or the word folder.
        manual_dir: where the official files lie, either all datasets' or one's; folders, .zip files, or one .zip.
        data_dir: where prepared data goes (else JAXSEG_DATA, else ./data).
        allow_incomplete: accept other numbers of images than the official ones.
        preview: also draw a contact sheet with outlines.
        name: folder only: name of your dataset.
        source: folder only: holds images/ and masks/ with the same file names; or a .zip of it.
        task: folder only: what is annotated, such as glands or nuclei.
        table: folder only: CSV with columns image, mask, split, patient.
        masks: folder only: binary (foreground against 0), instances (a number per object) or classes (a value per
            class); auto looks at the files and takes them as binary or instances.
        classes: folder only: NAME=VALUE of each class; otherwise classes.json or classes.csv in the source is read.
        patient_pattern: folder only: what of an image's name tells its patient, a regular expression: '^[^_]+' is what
            stands before the first _. Patients are never divided between training and test.
    """

    datasets: tyro.conf.Positional[tuple[str, ...]]
    manual_dir: Path | None = None
    data_dir: Path | None = None
    allow_incomplete: bool = False
    preview: bool = False
    name: str | None = None
    source: Path | None = None
    task: str | None = None
    table: Path | None = None
    masks: Masks = "auto"
    classes: tuple[str, ...] = ()
    patient_pattern: str | None = None


def main() -> None:
    flags = tyro.cli(Flags, description=__doc__)
    data_dir = Locations.choose(flags.data_dir, None).data
    for name in flags.datasets:
        if name != FOLDER:
            describe(name)  # a misspelt name is said before hours of work on the others
    if not flags.datasets:
        raise UsageError("no dataset is named", remedy="python launch/prepare.py --help")
    _check_options(flags)
    with terminated_like_interrupted():
        for name in flags.datasets:
            _prepare(_own_name(flags) if name == FOLDER else name, name == FOLDER, flags, data_dir)


def _check_options(flags: Flags) -> None:
    """Options of the one kind of dataset say nothing of the other, and would be passed over without a word."""
    of_folder = ("name", "source", "task", "table", "masks", "classes", "patient_pattern")
    of_official = ("manual_dir", "allow_incomplete")
    for names, used, kind in (
        (of_folder, FOLDER in flags.datasets, "the word folder in place of a dataset's name"),
        (of_official, set(flags.datasets) != {FOLDER}, "names of built-in datasets"),
    ):
        given = [
            each.name for each in fields(flags) if each.name in names and getattr(flags, each.name) != each.default
        ]
        if given and not used:
            options = " ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UsageError(
                "options of another kind of dataset",
                found=options,
                expected=kind,
                remedy="python launch/prepare.py --help",
            )


def _own_name(flags: Flags) -> str:
    if flags.name is None or flags.source is None or flags.task is None:
        raise UsageError("folder needs --name, --source and --task", remedy="python launch/prepare.py --help")
    return flags.name


def _prepare(name: str, own: bool, flags: Flags, data_dir: Path) -> None:
    there = is_prepared(name, data_dir)
    if own:
        assert flags.source
        assert flags.task
        classes = named(flags.classes) if flags.classes else None
        prepare_folder(
            name,
            flags.source,
            data_dir,
            task=flags.task,
            table=flags.table,
            masks=flags.masks,
            classes=classes,
            patient_pattern=flags.patient_pattern,
        )
    else:
        prepare(name, data_dir, manual_dir=flags.manual_dir, allow_incomplete=flags.allow_incomplete)
    if there:
        print(f"already prepared; delete {prepared_folder(name, data_dir)} to prepare it anew")
    print(summary(read_card(name, data_dir)))
    for line in shared_with_others(name, data_dir):
        print(f"  warning: {line}")
    if flags.preview:
        from jaxseg.datasets.preview import preview  # draws, so imports a plotting library

        print(f"preview: {preview(name, data_dir)}")


if __name__ == "__main__":
    command(main)
