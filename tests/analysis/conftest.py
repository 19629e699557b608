"""Fabricated studies for the tests of the analysis."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fabricated_study import STUDY, Fabricated, fabricate

from jaxseg.config import Study


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Fabricated:
    """3 weights × 2 datasets × 3 fractions × 5 repeats, 20 images each; read-only for the tests."""
    return fabricate(tmp_path_factory.mktemp("study"), STUDY)


@pytest.fixture
def small_study(tmp_path: Path) -> Iterator[Callable[..., Fabricated]]:
    """Makes small studies of one's own, for tests that change files."""

    def make(images: int = 6, **changes: object) -> Fabricated:
        values: dict[str, object] = {"datasets": ("tissue_a",), "fractions": (0.5, 1.0), "repeats": 2}
        values |= {"weights": ("random", "pathology"), **changes}
        study = Study(**{**vars(STUDY), **values})  # type: ignore[arg-type]
        return fabricate(tmp_path / "study", study, images)

    return make
