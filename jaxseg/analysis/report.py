"""One self-contained HTML page: the answer first, then what it rests on."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from jaxseg.analysis import comparisons, provenance, sentences
from jaxseg.analysis.feature_vectors import LAYERS
from jaxseg.analysis.findings import Findings
from jaxseg.analysis.sign_flips import least_p
from jaxseg.analysis.similarity import similarity_summary
from jaxseg.analysis.summary import at_final_budget
from jaxseg.config import Study
from jaxseg.wording import counted

FAMILIES = ("reference", "all pairs")


@dataclass(frozen=True)
class Picture:
    """A figure in the report: `section` is where it stands, `reading` how to read it."""

    section: str
    file: Path
    alternative: str
    reading: str

    @property
    def data(self) -> str:
        return base64.b64encode(self.file.read_bytes()).decode()


def render(findings: Findings, pictures: Sequence[Picture]) -> str:
    """The report as HTML; equal findings and pictures give equal text."""
    study = findings.results.study
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        points=points,
        percent=percent,
        p=p_value,
        span=span,
        span_of_points=span_of_points,
        counted=counted,
    )
    by_section: dict[str, list[Picture]] = {}
    for picture in pictures:
        by_section.setdefault(picture.section, []).append(picture)
    return environment.get_template("report.html.j2").render(
        style=(Path(__file__).parent / "report.css").read_text(),
        study=study,
        notes=findings.notes,
        pictures=by_section,
        recommendations=_recommendations(findings),
        final=_final(findings),
        intervals=_intervals(findings),
        classes=_classes(findings),
        comparisons=_records(findings.comparisons),
        test_notes=_notes(findings.comparisons),
        images_as_patients=_images_as_patients(findings),
        out_of_domain=_out_of_domain(findings),
        similarity=_similarity(findings),
        layers=LAYERS,
        weights=provenance.weights_receipts(findings.results),
        datasets=provenance.dataset_facts(findings.results, findings.baseline, findings.cards),
        runs=provenance.run_facts(findings.results),
        strangers=findings.results.strangers,
        least_p=least_p(study.repeats),
        planned=len(comparisons.planned_pairs(study, "reference")),
        families=len(study.datasets) * len(study.fractions),
        margin=100 * comparisons.MARGIN,
        least_patients=comparisons.LEAST_PATIENTS,
    )


def _out_of_domain(findings: Findings) -> list[dict[str, Any]]:
    """None where every run was tested on images of its own dataset alone."""
    table = findings.out_of_domain
    return _records(table) if (table["trained_on"] != table["tested_on"]).any() else []


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _notes(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Family -> note -> number of comparisons that it holds for."""
    notes = {family: table.loc[(table["family"] == family) & (table["note"] != ""), "note"] for family in FAMILIES}
    return {family: {str(note): int(n) for note, n in found.value_counts().items()} for family, found in notes.items()}


def _images_as_patients(findings: Findings) -> list[str]:
    """Datasets trained on of which every test image counts as a patient of its own, and there are several."""
    images = findings.results.scores.drop_duplicates(["tested_on", "image"])
    alone = (images["patient"] == images["image"]).groupby(images["tested_on"]).agg(["all", "size"])
    return [name for name in findings.results.study.datasets if alone["all"].get(name) and alone["size"][name] > 1]


def _recommendations(findings: Findings) -> list[dict[str, Any]]:
    study = findings.results.study
    images = provenance.images_per_fraction(findings.results)
    cards = []
    for item in findings.recommendations:
        caution = sentences.caution(item)
        sure = item.runner_up and not caution and item.answer not in ("tied", "no data", "unfinished")
        cards.append(
            {
                "dataset": item.trained_on,
                "fraction": item.fraction,
                "images": images.get((item.trained_on, item.fraction)),
                "kind": "clear" if sure else item.answer if item.answer == "tied" else "unfinished",
                "answer": sentences.answer(item, study.weights[0]),
                "caution": caution,
                "helps": sentences.what_helps(item, study.match),
            }
        )
    return cards


def _final(findings: Findings) -> list[dict[str, Any]]:
    """Own test images at the last budget; subsets below the whole."""
    final = findings.final.assign(part=findings.final["subset"] != "all")
    return _own(final, findings.results.study, "trained_on", "fraction", "part", "subset")


def _own(table: pd.DataFrame, study: Study, *columns: str) -> list[dict[str, Any]]:
    """Rows of own test images, sorted by these columns, then weights in the study's order."""
    order = {name: place for place, name in enumerate(study.weights)}
    own = table[table["trained_on"] == table["tested_on"]]
    return _records(own.assign(order=own["weights"].map(order)).sort_values([*columns, "order"]))


def _intervals(findings: Findings) -> str:
    """What the intervals of the scores on the own test images hold for."""
    patients = findings.results.scores.groupby("tested_on")["patient"].nunique()
    own = [row for row in _final(findings) if not row["part"]]
    return sentences.what_intervals_cover((row["repeats"], patients[row["tested_on"]]) for row in own)


def _classes(findings: Findings) -> list[dict[str, Any]]:
    """Own test images at the last budget, class by class; empty with one class."""
    if findings.class_scores is None:
        return []
    final = at_final_budget(findings.class_scores, findings.results.study)
    return _own(final, findings.results.study, "trained_on", "fraction", "class")


def _similarity(findings: Findings) -> list[dict[str, Any]]:
    if findings.similarity is None or findings.similarity.empty:
        return []
    return _records(similarity_summary(findings.similarity))


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def number(value: Any, digits: int = 3) -> str:
    return "–" if _absent(value) else f"{value:.{digits}f}"


def points(value: Any) -> str:
    """Dice in points, signed, with a true minus."""
    return "–" if _absent(value) else sentences.signed(value)


def span(row: Mapping[str, Any]) -> str:
    """The interval of a row of scores."""
    return "–" if _absent(row["low"]) else f"{number(row['low'])} – {number(row['high'])}"


def span_of_points(row: Mapping[str, Any]) -> str:
    """The interval of a comparison, in Dice points."""
    return "–" if _absent(row["low"]) else f"{points(row['low'])} … {points(row['high'])}"


def percent(value: Any) -> str:
    return "–" if _absent(value) else f"{100 * value:g} %"


def p_value(value: Any) -> str:
    if _absent(value):
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0") if value < 1 else "1"
