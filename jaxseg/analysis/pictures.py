"""Draws and writes all figures of the report, each with the words that explain it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from jaxseg.analysis import captions
from jaxseg.analysis.examples import Example
from jaxseg.analysis.figures import paired_differences as forest
from jaxseg.analysis.figures.budget_curves import budget_curves
from jaxseg.analysis.figures.learning_curves import learning_curves
from jaxseg.analysis.figures.out_of_domain import out_of_domain_matrix
from jaxseg.analysis.figures.overlays import overlays
from jaxseg.analysis.figures.style import percent, save
from jaxseg.analysis.figures.training_curves import training_curves
from jaxseg.analysis.figures.umap_panels import umap_panels
from jaxseg.analysis.findings import Findings
from jaxseg.analysis.provenance import images_per_fraction
from jaxseg.analysis.report import Picture


def draw_scores(findings: Findings, folder: Path) -> list[Picture]:
    """The figures that need scores and logs alone."""
    study, pictures = findings.results.study, _Folder(folder)
    if forest.has_data(findings.comparisons):
        pictures.add(
            "tests", "paired_differences", forest.paired_differences(study, findings.comparisons), captions.FOREST
        )
    curves = learning_curves(study, findings.final, images_per_fraction(findings.results))
    reading = captions.learning_reading(study.match, study.recipe.model.classes)
    pictures.add("curves", "learning_curves", curves, reading)
    if len(study.recipe.budgets) > 1:
        pictures.add("curves", "budget_curves", budget_curves(study, findings.budgets), captions.BUDGET)
    largest = percent(study.fractions[-1])
    if len(study.tested_on) > 1 and (findings.out_of_domain["fraction"] == study.fractions[-1]).any():
        matrix = out_of_domain_matrix(study, findings.out_of_domain)
        pictures.add("domain", "out_of_domain", matrix, f"{captions.DOMAIN} Trained with {largest} of the images.")
    pictures.add("runs", "training_curves", training_curves(findings.results), captions.TRAINING)
    return pictures.drawn


def draw_models(findings: Findings, examples: Mapping[str, Sequence[Example]], folder: Path) -> list[Picture]:
    """The figures that need opened models: UMAP, and pictures per dataset."""
    pictures = _Folder(folder)
    if findings.embeddings:
        neighbours = sorted({e.neighbours for e in findings.embeddings})
        figure = umap_panels(findings.results.study, findings.embeddings)
        measured = findings.similarity is not None and not findings.similarity.empty
        pictures.add("features", "umap", figure, captions.umap_reading(neighbours, measured))
    for name, chosen in examples.items():
        if chosen:
            pictures.add(
                "pictures", f"overlays_{name}", overlays(chosen), f"Test images of {name}. {captions.OVERLAYS}"
            )
    return pictures.drawn


class _Folder:
    """Writes figures below `path` and keeps what was drawn."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.drawn: list[Picture] = []

    def add(self, section: str, name: str, figure: Figure, reading: str) -> None:
        file = save(figure, self._path, name)
        self.drawn.append(Picture(section, file, name.replace("_", " "), reading))
