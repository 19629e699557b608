"""Score rows against predictions made by hand, and scoring on further datasets."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, jaccard_score

import jaxseg
from jaxseg import datasets
from jaxseg.errors import InputError, UsageError
from jaxseg.evaluation import scoring
from jaxseg.evaluation.ablation import ablate
from jaxseg.evaluation.scoring import score, score_more
from jaxseg.files import write_json
from jaxseg.inference import sliding_window
from jaxseg.inference.sliding_window import Group, in_groups
from jaxseg.run_folder import RunFolder


def test_a_row_per_budget_and_image(finished: RunFolder, data_dir: Path) -> None:
    table = pd.read_parquet(finished.scores)
    images = datasets.load("synthetic_nuclei_a", data_dir).test
    assert sorted(zip(table.budget, table.image, strict=True)) == sorted((b, i) for b in (1, 2) for i in images.ids)
    pixels = table[["true_positive", "false_positive", "false_negative", "true_negative"]].sum(axis=1)
    area = dict(zip(images.ids, np.prod(images.sizes, axis=1), strict=True))
    assert (pixels == table.image.map(area)).all()


@pytest.mark.parametrize("budget", [1, 2])
def test_dice_is_that_of_the_prediction(finished: RunFolder, data_dir: Path, budget: int) -> None:
    images = datasets.load("synthetic_nuclei_a", data_dir).test
    height, width = images.sizes[3]
    (probability,) = jaxseg.load(finished.path, budget).predict([images.pixels[3, :height, :width]])
    found, truth = probability >= 0.5, images.masks[3, :height, :width] > 0
    table = pd.read_parquet(finished.scores).query(f"budget == {budget}").set_index("image")
    expected = 2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1)
    assert table.loc[images.ids[3], "dice"] == pytest.approx(expected, abs=1e-3)


def test_further_datasets_are_added_and_noted(finished: RunFolder, data_dir: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(data_dir, data)
    datasets.prepare("synthetic_nuclei_b", data)
    copy = RunFolder(tmp_path / "run")
    shutil.copytree(finished.path, copy.path)
    before = pd.read_parquet(copy.scores)
    score_more(copy, ("synthetic_nuclei_b",), data)
    after = pd.read_parquet(copy.scores)
    assert set(after.tested_on) == {"synthetic_nuclei_a", "synthetic_nuclei_b"}
    pd.testing.assert_frame_equal(after.iloc[: len(before)], before)
    assert copy.read_done()["test_datasets"] == ["synthetic_nuclei_a", "synthetic_nuclei_b"]
    assert copy.scored_on() == {name: datasets.read_card(name, data).fingerprint for name in set(after.tested_on)}
    write_json(copy.done, copy.read_done() | {"fingerprints": {"synthetic_nuclei_a": "former"}})
    with pytest.raises(InputError, match="not those that runs were scored on"):
        score_more(copy, ("synthetic_glands_a",), data)


def test_what_a_run_was_scored_on_before_is_known_where_those_data_are_not_at_hand(
    finished: RunFolder, tmp_path: Path
) -> None:
    copy = RunFolder(tmp_path / "run")
    shutil.copytree(finished.path, copy.path)
    datasets.prepare("synthetic_nuclei_b", tmp_path / "data")
    with copy.hold(), pytest.raises(UsageError, match="another process is at this run"):
        score_more(copy, ("synthetic_nuclei_b",), tmp_path / "data")
    score_more(copy, ("synthetic_nuclei_b",), tmp_path / "data")
    further = datasets.read_card("synthetic_nuclei_b", tmp_path / "data").fingerprint
    assert copy.scored_on() == finished.scored_on() | {"synthetic_nuclei_b": further}


@pytest.mark.parametrize(("group", "handed_over"), [(64_000_000, 0), (1, 2)])
def test_a_next_run_finds_the_test_images_on_the_device(
    finished: RunFolder, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int, handed_over: int
) -> None:
    scoring._kept_test_images.cache_clear()
    before = pd.read_parquet(finished.scores)
    asked: list[int] = []

    def counted(images: np.ndarray, sizes: np.ndarray, crop: int) -> Iterator[Group]:
        asked.append(1)
        return in_groups(images, sizes, crop)

    monkeypatch.setattr(scoring, "in_groups", counted)
    monkeypatch.setattr(sliding_window, "GROUP_PIXELS", group)
    for number in range(2):
        copy = RunFolder(tmp_path / str(number))
        shutil.copytree(finished.path, copy.path)
        copy.scores.unlink()
        scoring.score_run(copy, ("synthetic_nuclei_a",), data_dir)
        after = pd.read_parquet(copy.scores)
        pd.testing.assert_frame_equal(after, before)
        if number == 0 and group > 1:
            asked.clear()
    assert len(asked) == handed_over * len(set(before.budget))


def test_an_unprepared_dataset_is_named(finished: RunFolder, data_dir: Path) -> None:
    with pytest.raises(InputError, match="glas"):
        score_more(finished, ("glas",), data_dir)


def test_a_dataset_of_another_task_is_refused(finished: RunFolder, data_dir: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(data_dir, data)
    datasets.prepare("synthetic_glands_a", data)
    before = finished.done.read_bytes(), finished.scores.read_bytes()
    with pytest.raises(UsageError, match="another task"):
        score_more(finished, ("synthetic_glands_a",), data)
    assert (finished.done.read_bytes(), finished.scores.read_bytes()) == before


def test_ablation_varies_the_windows(finished: RunFolder, data_dir: Path, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "run")
    shutil.copytree(finished.path, copy.path)
    table = ablate(copy, data_dir)
    assert set(zip(table.window, table.stride, strict=True)) == {(64, 32), (64, 64), (32, 16), (32, 32), (64, 16)}
    assert pd.read_csv(copy.path / "ablation.csv").dice.tolist() == pytest.approx(table.dice.tolist())
    scored = pd.read_parquet(finished.scores).query("budget == 2")
    own = table[(table.window == 64) & (table.stride == 32)]  # of the recipe
    assert own.dice.tolist() == pytest.approx([scored.dice.mean()])
    model, images = jaxseg.load(copy.path), datasets.load("synthetic_nuclei_a", data_dir).test
    pixels = [each[:height, :width] for each, (height, width) in zip(images.pixels, images.sizes, strict=True)]
    for row in table.itertuples():
        recipe = dataclasses.replace(model.run.recipe, crop=row.window, stride=row.stride)
        read = dataclasses.replace(model, run=dataclasses.replace(model.run, recipe=recipe))
        truths = [mask[: len(each), : each.shape[1]] > 0 for mask, each in zip(images.masks, pixels, strict=True)]
        found = [probability >= 0.5 for probability in read.predict(pixels)]
        each = [f1_score(t.ravel(), f.ravel(), zero_division=1.0) for t, f in zip(truths, found, strict=True)]
        assert row.dice == pytest.approx(np.mean(each), abs=1e-3)
        each = [jaccard_score(t.ravel(), f.ravel(), zero_division=1.0) for t, f in zip(truths, found, strict=True)]
        assert row.jaccard == pytest.approx(np.mean(each), abs=1e-3)


def test_images_smaller_than_a_window_are_scored_as_they_are_predicted(finished: RunFolder, data_dir: Path) -> None:
    model = jaxseg.load(finished.path)
    images = datasets.load("synthetic_nuclei_a", data_dir).test
    side = 192
    assert images.sizes.max() < side
    scored = score(model, 2, "synthetic_nuclei_a", data_dir, crop=side, stride=side)
    rows = [image.row for image in scored]
    for row, pixels, masks, (height, width) in zip(rows, images.pixels, images.masks, images.sizes, strict=True):
        whole = np.pad(pixels[:height, :width], ((0, side - height), (0, side - width), (0, 0)), mode="reflect")
        logits, _ = model(whole[None])
        found = logits[0, :height, :width, 0] >= 0
        assert row["true_positive"] == pytest.approx((found & (masks[:height, :width] > 0)).sum(), abs=2)  # roundings
        assert row["false_positive"] == pytest.approx((found & (masks[:height, :width] == 0)).sum(), abs=2)
