"""Official files become prepared data: checked, written aside, renamed into place."""

import contextlib
import functools
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jaxseg.config import check_name
from jaxseg.console import Console
from jaxseg.datasets import synthetic
from jaxseg.datasets.archives import archives, is_archive, unpacked
from jaxseg.datasets.card import Card, Row, fingerprint
from jaxseg.datasets.catalogue import DESCRIPTIONS, READERS, describe
from jaxseg.datasets.checks import check_annotated, check_examples, oddities
from jaxseg.datasets.classes import beside, checked
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example
from jaxseg.datasets.folder import Masks, folder_description, folder_examples, left_out, own_root
from jaxseg.datasets.prepared import VERSION, is_whole, prepared_folder
from jaxseg.datasets.tree import TreeMissingError, composed
from jaxseg.errors import InputError, UsageError
from jaxseg.files import locked, new_folder, read_errors

_SCRATCH = "scratch"  # where TFDS works, within the folder aside


def prepare(name: str, data_dir: Path, *, manual_dir: Path | None = None, allow_incomplete: bool = False) -> Path:
    """Prepare a built-in dataset and return its folder; at once if that has been done.

    Args:
        manual_dir: the folder that holds the official files, `<manual_dir>/<name>` or any folder up to three levels
            above them, unpacked or as .zip; or such an archive itself. Not used by synthetic datasets.
        allow_incomplete: take other numbers of images than the official ones; the card remembers it.

    Raises:
        UsageError: unknown name. InputError: files missing, damaged or not the official number.
    """
    description = describe(name)
    if is_whole(name, data_dir):
        return prepared_folder(name, data_dir)
    with contextlib.ExitStack() as stack, read_errors(manual_dir or data_dir):
        examples = (
            _official(stack, description, _manual(description, manual_dir))
            if name in READERS
            else synthetic.examples(name)
        )
        differences = check_examples(description, examples, allow_incomplete)
        return _write(description, examples, data_dir, differences=differences)


def prepare_folder(
    name: str,
    source: Path,
    data_dir: Path,
    *,
    task: str,
    table: Path | None = None,
    masks: Masks = "auto",
    classes: Mapping[str, int] | None = None,
    patient_pattern: str | None = None,
) -> Path:
    """Prepare a user's own `source/images` and `source/masks` under a name of their choice.

    Args:
        task: what the masks show; datasets of one task are tested on each other.
        table: CSV with the columns image, mask, split, patient; all but the first may be missing.
        masks: "binary" makes objects of connected regions, "instances" takes each value as an object, "classes" takes
            values as classes, "auto" looks (never for classes).
        classes: name -> value in the masks, with "classes"; otherwise they are read from classes.json or classes.csv
            in `source`.
        patient_pattern: regular expression for what of an image's name, without suffix, tells its patient: its group,
            or else all that is found.
    """
    check_name("dataset", name)
    check_name("task", task)
    patients = None if patient_pattern is None else _pattern(patient_pattern, table)
    if classes and masks != "classes":
        raise UsageError("classes are named for masks of another kind", found=masks, remedy="give --masks classes too")
    if name in DESCRIPTIONS:
        raise UsageError("is the name of a built-in dataset", found=name, remedy="choose another name")
    if is_whole(name, data_dir):
        _check_same(name, data_dir, task, masks, classes)
        return prepared_folder(name, data_dir)
    with contextlib.ExitStack() as stack, read_errors(source):
        if is_archive(source):
            source = own_root(stack.enter_context(unpacked([source])))
        elif source.is_file():
            expected, remedy = "a folder with images/ and masks/, or a .zip of it", "unpack it and give the folder"
            raise InputError("is a file, and no .zip archive", file=source, expected=expected, remedy=remedy)
        if masks == "classes" and classes is None:
            classes = beside(source)
        classes = checked(classes, UsageError) if classes else {}
        description = folder_description(name, task, classes)
        examples = folder_examples(name, source, table, masks, classes, patients)
        check_examples(description, examples, allow_incomplete=False)
        return _write(description, examples, data_dir, warnings=left_out(source, table))


def _pattern(text: str, table: Path | None) -> re.Pattern[str]:
    if table is not None:
        remedy = "leave out the pattern, and fill the table's column patient"
        raise UsageError("patients are told by a table or by a pattern", found="both", remedy=remedy)
    try:
        return re.compile(composed(text))
    except re.error as error:
        remedy = r"give a regular expression, such as '^[^_]+' for what stands before the first _"
        raise UsageError(f"is no pattern of names: {error}", found=text, remedy=remedy) from error


def _check_same(name: str, data_dir: Path, task: str, masks: Masks, classes: Mapping[str, int] | None) -> None:
    """`UsageError` where the dataset was prepared for another task, or for other classes than those named now."""
    folder = prepared_folder(name, data_dir)
    card = Card.read(folder)
    asked = folder_description(name, task, checked(classes, UsageError) if classes else {})
    from_file = masks == "classes" and not classes  # which need not be there any more
    if card.task != task or (card.classes != asked.classes and not from_file):
        raise UsageError(
            "was prepared otherwise than asked for now",
            file=folder,
            found=_kind(card.task, card.classes),
            expected=_kind(task, asked.classes),
            remedy="choose another --name, or delete that folder to prepare it anew",
        )


def _kind(task: str, classes: Sequence[str]) -> str:
    return f"task {task}, {', '.join(classes) or 'one class'}"


def _official(stack: contextlib.ExitStack, description: Description, place: Path) -> list[Example]:
    """Examples of the unpacked tree if there is one, otherwise of the archives; these stay unpacked with the stack."""
    read, packed = READERS[description.name], archives(place)
    try:
        if place.is_dir():
            return read(place)
    except TreeMissingError:
        if not packed:
            raise
    return read(stack.enter_context(unpacked(packed)))


def _manual(description: Description, manual_dir: Path | None) -> Path:
    """The dataset's own folder or archive where there is one, otherwise what was given."""
    if manual_dir is not None and manual_dir.is_dir():
        own = manual_dir / description.name
        return next((path for path in (own, own.with_suffix(".zip")) if path.exists()), manual_dir)
    if manual_dir is not None and is_archive(manual_dir):
        return manual_dir
    raise InputError(
        f"the files of dataset {description.name} are needed",
        file=manual_dir,
        found=_instead(manual_dir),
        expected=description.layout,
        remedy=f"{description.how_to_get} Then give that folder, or the .zip, as --manual-dir.",
    )


def _instead(manual_dir: Path | None) -> str:
    if manual_dir is None:
        return "no --manual-dir"
    return "neither a folder nor a .zip archive" if manual_dir.exists() else "no such folder"


@contextlib.contextmanager
def _held(name: str, data_dir: Path) -> Iterator[bool]:
    """Hold the dataset's place, waiting for another process that prepares it; yields True where it is prepared.

    The lock dies with its holder, so what lies aside while we hold it was left by a process that was killed. It lies
    beside the dataset's folder, of which nothing stays where the dataset is refused.
    """
    folder = prepared_folder(name, data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise InputError("is a file", file=data_dir, expected="a folder", remedy="choose another --data-dir")
    with locked(data_dir / f".{name}.lock", wait=True):
        for left in folder.parent.glob(f".{folder.name}.*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            yield is_whole(name, data_dir)
        finally:
            with contextlib.suppress(OSError):  # it is not empty, as it should be
                folder.parent.rmdir()


def _write(
    description: Description,
    examples: Sequence[Example],
    data_dir: Path,
    *,
    differences: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Path:
    """Write the examples; `differences` from the official counts, and other warnings, go into the card."""
    folder = prepared_folder(description.name, data_dir)
    with _held(description.name, data_dir) as done:
        if not done:
            with new_folder(folder) as aside:
                rows = _records(aside, description, examples)
                check_annotated(description, rows)
                _card(aside, description, rows, differences, warnings).write(aside)
    return folder


def _records(folder: Path, description: Description, examples: Sequence[Example]) -> list[Row]:
    # TFDS takes half a second to import, and replaces Python's `__import__` meanwhile, which breaks what other threads
    # import: all of it must be over when the bar is shown, whose thread imports whenever it draws.
    from jaxseg.datasets.builder import write_records

    with _progress(description.name, len(examples)) as advance:
        written, rows = write_records(folder / _SCRATCH, VERSION, description, examples, advance)
    for file in written.iterdir():
        file.replace(folder / file.name)
    shutil.rmtree(folder / _SCRATCH)
    return rows


def _card(
    folder: Path, description: Description, rows: Sequence[Row], differences: Sequence[str], warnings: Sequence[str]
) -> Card:
    return Card(
        name=description.name,
        title=description.title,
        task=description.task,
        licence=description.licence,
        citation=description.citation,
        complete=not differences,
        fingerprint=fingerprint(description.task, rows, description.classes),
        files={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
        warnings=(*differences, *warnings, *oddities(rows)),
        images=tuple(rows),
        classes=description.classes,
    )


@contextlib.contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar while the block runs; yields what moves it on by one."""
    columns = (TextColumn("preparing {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=total)
        yield functools.partial(progress.advance, task)
