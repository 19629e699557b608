"""All tables of an analysis, computed once from the results of a study."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from jaxseg.analysis.baseline import all_foreground, to_beat, without_foreground
from jaxseg.analysis.cells import cells_of
from jaxseg.analysis.class_scores import read_class_scores, summarise_classes
from jaxseg.analysis.comparisons import compare
from jaxseg.analysis.embedding import Embedding
from jaxseg.analysis.recommendation import Recommendation, recommend, recommendation_table
from jaxseg.analysis.scores import Results, unpaired_repeats
from jaxseg.analysis.summary import at_final_budget, budgets, out_of_domain, summarise, uneven_repeats
from jaxseg.config import Study
from jaxseg.datasets.card import Card
from jaxseg.datasets.checks import not_apart


@dataclass(frozen=True)
class Findings:
    """Tables as their functions document them; `similarity` is None where no model was opened.

    `class_scores` is None unless the models tell several classes apart. `cards` are those of the datasets whose
    prepared data are at hand.
    """

    results: Results
    baseline: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    out_of_domain: pd.DataFrame
    budgets: pd.DataFrame
    recommendations: list[Recommendation]
    similarity: pd.DataFrame | None = None
    embeddings: list[Embedding] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    class_scores: pd.DataFrame | None = None
    cards: Mapping[str, Card] = field(default_factory=dict)

    @property
    def final(self) -> pd.DataFrame:
        return at_final_budget(self.summary, self.results.study)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Name of the CSV file -> table."""
        named = {
            "scores": self.results.scores,
            "summary": self.summary,
            "paired_tests": self.comparisons,
            "out_of_domain": self.out_of_domain,
            "budgets": self.budgets,
            "baseline": self.baseline,
            "recommendation": recommendation_table(self.recommendations),
        }
        further = {"features": self.similarity, "class_scores": self.class_scores}
        return named | {name: table for name, table in further.items() if table is not None}


def find(results: Results, cards: Mapping[str, Card]) -> Findings:
    """Everything that follows from the scores, and from the cards of datasets, alone."""
    cells = cells_of(results.scores)
    baseline = all_foreground(results.scores)
    classes = results.study.recipe.model.classes
    summary = summarise(results.scores, cells, baseline, classes)
    comparisons = compare(results.study, cells)
    of_classes = read_class_scores(results)
    return Findings(
        results,
        baseline,
        summary,
        comparisons,
        out_of_domain(summary, results.study),
        budgets(summary),
        recommend(results.study, cells, comparisons, to_beat(baseline, classes)),
        notes=(
            *_flattering(results.study, cards),
            *uneven_repeats(results.study, cells),
            *unpaired_repeats(results),
            *without_foreground(baseline, classes),
        ),
        class_scores=None if of_classes is None else summarise_classes(of_classes),
        cards=cards,
    )


def _flattering(study: Study, cards: Mapping[str, Card]) -> list[str]:
    """A note per dataset that was trained on and whose test images are not apart from its training images."""
    joined = {name: not_apart(cards[name].images) for name in study.datasets if name in cards}
    return [
        f"The test images of {name} are not apart from its training images: {'; '.join(lines)}. Scores on them flatter."
        for name, lines in joined.items()
        if lines
    ]
