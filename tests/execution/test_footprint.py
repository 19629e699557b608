"""Memory of a run, against peaks that were measured and against data sets counted by hand."""

import dataclasses
from pathlib import Path

import pytest
from studies import prepare, small_study

from jaxseg.config import Locations, ModelConfig, Recipe
from jaxseg.datasets.card import FILE_NAME, Row
from jaxseg.datasets.prepared import prepared_folder, read_card
from jaxseg.errors import UsageError
from jaxseg.execution.footprint import check_memory, first_step_bytes, memory_needed, training_bytes


@pytest.mark.parametrize(
    ("recipe", "gigabytes"),
    [
        (Recipe(batch=4), 4.04),
        (Recipe(batch=8), 5.92),
        (Recipe(batch=16), 9.83),
        (Recipe(ModelConfig(width=1 / 8), batch=16), 2.43),
        (Recipe(ModelConfig(18, 1 / 8), crop=128, stride=64, batch=8), 0.90),
        (Recipe(ModelConfig(18), batch=4), 2.22),
    ],
)
def test_measured_peaks(recipe: Recipe, gigabytes: float, tmp_path: Path) -> None:
    study = dataclasses.replace(small_study(), recipe=recipe)
    assert memory_needed(study, tmp_path) == pytest.approx(gigabytes * 1e9, rel=0.15)


@pytest.mark.parametrize(
    ("recipe", "gigabytes"),
    [
        (Recipe(batch=4), 2.07),
        (Recipe(batch=8), 3.27),
        (Recipe(ModelConfig(width=1 / 4), batch=8), 0.89),
        (Recipe(ModelConfig(width=1 / 8), batch=8), 0.66),
        (Recipe(ModelConfig(18), batch=4), 1.00),
        (Recipe(ModelConfig(101, 1 / 2), batch=4), 1.32),
    ],
)
def test_heaps_measured_at_the_first_step(recipe: Recipe, gigabytes: float) -> None:
    assert first_step_bytes(recipe) == pytest.approx(gigabytes * 1e9, rel=0.15)


@pytest.mark.parametrize(
    "recipe", [Recipe(ModelConfig(width=1e6)), Recipe(crop=320_000), Recipe(batch=100_000_000), Recipe(batch=2**62)]
)
def test_what_no_host_has_the_memory_for_is_refused(recipe: Recipe) -> None:
    with pytest.raises(UsageError, match=r"needs more memory(.|\n)*found: +[\d.]+ GB\n.*about \S+ GB for its crop"):
        check_memory(recipe)


def test_only_by_far_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe()
    monkeypatch.setattr("jaxseg.execution.footprint.memory", lambda: training_bytes(recipe) / 1.9)
    check_memory(recipe)
    monkeypatch.setattr("jaxseg.execution.footprint.memory", lambda: training_bytes(recipe) / 2.1)
    with pytest.raises(UsageError, match="smaller crop, batch or model"):
        check_memory(recipe)


def test_images_are_loaded_and_packed_and_those_to_train_on_stacked_besides(
    locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study()
    prepare(locations.data, "cells", "nuclei", images=4)
    prepare(locations.data, "site_b", images=6, tests=3)
    names = ("site_a", "site_b", "cells")
    rows = {name: read_card(name, locations.data).rows for name in names}

    def padded(name: str, split: str) -> int:
        of_split = rows[name](split) or [Row("", "", "", "", 0, 0, 0, 0.0, "", "")]
        return len(rows[name](split)) * max(row.height for row in of_split) * max(row.width for row in of_split)

    loaded = sorted(4 * padded(name, "train") + 8 * padded(name, "test") for name in names)
    stacked = max(8 * padded(name, "train") for name in names)
    empty = memory_needed(study, tmp_path)
    assert memory_needed(study, locations.data) - empty == sum(loaded) + stacked
    monkeypatch.setattr("jaxseg.execution.footprint.KEPT", 2)
    assert memory_needed(study, locations.data) - empty == sum(loaded[1:]) + stacked, "the largest stay loaded"
    assert loaded[0] < loaded[1]


def test_a_damaged_dataset_is_left_to_the_plan_to_tell(locations: Locations) -> None:
    study = small_study()
    before = memory_needed(study, locations.data)
    for name in study.datasets:
        (prepared_folder(name, locations.data) / FILE_NAME).write_text("{")
    assert memory_needed(study, locations.data) < before
