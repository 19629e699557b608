"""The whole analysis of a study: tables, figures, report. Heavy imports wait until there is something to do."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jaxseg.analysis.fingerprint import finished, inputs_digest, is_current, keep_record, opened_before
from jaxseg.analysis.sources import Sources, default_sources
from jaxseg.analysis.study_file import read_study
from jaxseg.config import REPORT_FILE, Study
from jaxseg.datasets.unchanged import check_unchanged
from jaxseg.errors import InputError
from jaxseg.files import write_text
from jaxseg.run_folder import RunFolder

if TYPE_CHECKING:
    from jaxseg.datasets.card import Card

FIGURES, TABLES = "figures", "tables"
Progress = Callable[[str], None]


def _silent(message: str) -> None:
    """The default progress: none."""


def analyze(
    study_folder: Path,
    data_dir: Path,
    *,
    features: bool = True,
    progress: Progress = _silent,
    sources: Sources | None = None,
) -> Path:
    """Write tables/, figures/ and report.html of a study folder, finished or not; returns the report's path.

    Nothing is computed and no byte changes where neither the inputs nor the outputs have changed since last time.

    Args:
        data_dir: where prepared datasets lie; needed for features and pictures, and for what preparing warned of.
        features: also open models, for UMAP, similarity and pictures of test images.
        progress: is told in a few words what is being done, and of datasets that are not prepared.

    Raises:
        InputError: no study there, or it may not be written to, no finished run, damaged scores (the message names the
            file), or a dataset of which the last analysis had features is not prepared, or prepared with other data.
    """
    study_folder = study_folder.absolute()
    sources = sources or default_sources(data_dir)
    study = read_study(study_folder)
    found = {name: sources.card(name) for name in study.tested_on}
    cards = {name: card for name, card in found.items() if card is not None}
    ready = list(cards) if features else []
    if features:
        _check_prepared(study_folder, [name for name in study.tested_on if name not in ready], data_dir, progress)
        _check_unchanged(study_folder, study, {name: card.fingerprint for name, card in cards.items()}, data_dir)
    prepared = [(card.name, card.fingerprint, card.warnings) for card in cards.values()]
    ended, digest = finished(study_folder), inputs_digest(study_folder, (features, *prepared))
    report = study_folder / REPORT_FILE
    if is_current(study_folder, digest):
        progress("nothing has changed since the last analysis")
        return report
    _check_may_write(study_folder)
    outputs, complete = _write(study_folder, sources, cards, ready, progress)
    keep_record(study_folder, digest if complete else None, outputs, ready, ended)
    return report


def _check_unchanged(study_folder: Path, study: Study, prepared: dict[str, str], data_dir: Path) -> None:
    """Pictures of other annotations than those that were scored would be wrong; `prepared` has fingerprints by name."""
    for run in study.runs():
        try:
            check_unchanged(RunFolder.of(study_folder, run), prepared.get)
        except InputError as error:
            remedy = f"{error.remedy}; or --no-features makes the report without features and pictures"
            raise InputError(error.problem, file=data_dir, found=error.found, remedy=remedy) from error


def _check_prepared(study_folder: Path, missing: list[str], data_dir: Path, progress: Progress) -> None:
    """Features and pictures that an analysis has are not given up because the data lie elsewhere."""
    names = ", ".join(missing)
    if lost := sorted(set(missing) & set(opened_before(study_folder))):
        raise InputError(
            f"the report would lose features and pictures: not prepared there: {', '.join(lost)}",
            file=data_dir,
            remedy="say where they are prepared: --data-dir; or --no-features makes the report without them",
        )
    if missing:
        progress(f"no features and pictures of datasets that are not prepared in {data_dir}: {names}")


def _check_may_write(study_folder: Path) -> None:
    """Told before models are opened, which takes minutes, rather than at the first figure."""
    for folder in (study_folder, study_folder / FIGURES, study_folder / TABLES):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            remedy = "copy the study's folder to a place where you may write, and analyse it there"
            raise InputError("may not be written to", file=folder, remedy=remedy)


def _write(
    study_folder: Path, sources: Sources, cards: "dict[str, Card]", ready: list[str], progress: Progress
) -> tuple[list[Path], bool]:
    """Write all outputs; returns them, and whether models could be opened where they were asked for."""
    from jaxseg.analysis import pictures, report
    from jaxseg.analysis.findings import find
    from jaxseg.analysis.models_opened import open_models
    from jaxseg.analysis.scores import read_results

    progress("reading scores")
    results = read_results(study_folder)
    progress(f"comparing weights, {len(results.finished())} finished runs")
    findings = find(results, cards)
    findings, examples, complete = open_models(findings, sources, ready, progress)
    progress("drawing figures")
    drawn = pictures.draw_scores(findings, study_folder / FIGURES)
    drawn += pictures.draw_models(findings, examples, study_folder / FIGURES)
    files = [picture.file for picture in drawn]
    outputs = [*files, *(file.with_suffix(".pdf") for file in files)]
    for name, table in findings.tables().items():
        outputs.append(study_folder / TABLES / f"{name}.csv")
        write_text(outputs[-1], table.to_csv(index=False, float_format="%.8g", lineterminator="\n"))
    outputs.append(study_folder / REPORT_FILE)
    write_text(outputs[-1], report.render(findings, drawn))
    return outputs, complete
