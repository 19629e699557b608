"""What needs trained models and test images: pooled features, their UMAP and similarity, pictures."""

import dataclasses
from collections.abc import Callable, Sequence

from jaxseg.analysis.embedding import embeddings
from jaxseg.analysis.examples import Example, examples_of
from jaxseg.analysis.feature_vectors import chosen_runs, collect, draw_patches
from jaxseg.analysis.findings import Findings
from jaxseg.analysis.similarity import similarities
from jaxseg.analysis.sources import Sources
from jaxseg.errors import JaxsegError

Examples = dict[str, list[Example]]


def open_models(
    findings: Findings, sources: Sources, ready: Sequence[str], progress: Callable[[str], None]
) -> tuple[Findings, Examples, bool]:
    """Findings with features, examples per dataset, and whether nothing went wrong.

    A model or dataset that cannot be opened costs the features, not the report, which says so.
    """
    results = findings.results
    if not ready:
        return findings, {}, True
    try:
        tests = {name: sources.test_images(name) for name in ready}
        patches = draw_patches(tests, results.study.recipe.crop)
        features = list(collect(chosen_runs(results), patches, sources.open_model, progress))
        examples = {
            name: examples_of(results, name, tests[name], sources.open_model, progress)
            for name in results.study.datasets
            if name in tests
        }
    except JaxsegError as error:
        note = f"Features and pictures are missing, because a model or dataset could not be opened: {error}"
        return dataclasses.replace(findings, notes=(*findings.notes, note)), {}, False
    if not features:
        return findings, examples, True
    progress("UMAP and similarity of features")
    return (
        dataclasses.replace(findings, similarity=similarities(features), embeddings=embeddings(features, patches)),
        examples,
        True,
    )
