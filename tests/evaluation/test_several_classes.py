"""Three classes from the drawn tissue to the report: losses go down, scores by class agree with the predictions."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import f1_score
from train import train_run

import jaxseg
from jaxseg import datasets
from jaxseg.analysis.analyze import analyze
from jaxseg.analysis.class_scores import read_class_scores
from jaxseg.analysis.scores import read_results
from jaxseg.config import ModelConfig, RunConfig, Study
from jaxseg.errors import InputError, UnreadableError, UsageError
from jaxseg.evaluation.scoring import score_run
from jaxseg.execution.complete import complete
from jaxseg.files import write_json
from jaxseg.inference.likeliest import likeliest
from jaxseg.inference.on_files import OUTLINES, predict_files
from jaxseg.run_folder import RunFolder

NAME = "synthetic_tissue_a"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tissue")
    datasets.prepare(NAME, folder)
    return folder


@pytest.fixture(scope="module")
def three(run: RunConfig) -> RunConfig:
    recipe = dataclasses.replace(run.recipe, model=ModelConfig(18, 1 / 16, classes=3), budgets=(2, 16), batch=8)
    return RunConfig(NAME, repeat=0, recipe=recipe)


@pytest.fixture(scope="module")
def study(three: RunConfig, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one run of three classes, trained and scored."""
    folder = tmp_path_factory.mktemp("study")
    grid = Study("three", "Three classes", "tissue", (NAME,), ("random",), (1.0,), 1, recipe=three.recipe)
    assert grid.runs() == [three]
    write_json(folder / "study.json", grid.to_json())
    complete(RunFolder.of(folder, three), three, (NAME,), data, folder)
    return folder


def test_training_on_three_classes_lowers_the_loss(study: Path, three: RunConfig) -> None:
    losses = [line["training_loss"] for line in RunFolder.of(study, three).read_log()]
    assert losses[-1] < 0.9 * losses[0]


def test_rows_agree_with_the_predictions(study: Path, three: RunConfig, data: Path) -> None:
    folder, images = RunFolder.of(study, three), datasets.load(NAME, data).test
    table = pd.read_parquet(folder.class_scores).query("budget == 16")
    scores = pd.read_parquet(folder.scores).query("budget == 16").set_index("image")
    for number, name in enumerate(images.ids[:3]):
        height, width = images.sizes[number]
        (probabilities,) = jaxseg.load(folder.path).probabilities([images.pixels[number, :height, :width]])
        assert probabilities.shape == (height, width, 3)
        all_four = np.dstack([1 - probabilities.sum(-1), probabilities])
        found, truth = all_four.argmax(-1).ravel(), images.masks[number, :height, :width].ravel()
        expected = f1_score(truth, found, labels=[1, 2, 3], average=None, zero_division=1.0)
        rows = table[table["image"] == name].set_index("class")
        assert rows.index.tolist() == ["epithelium", "lumen", "lymphocytes"]
        np.testing.assert_allclose(rows["dice"], expected, atol=2e-3)
        assert scores.loc[name, "dice"] == pytest.approx(rows["dice"].mean())
        assert scores.loc[name, "jaccard"] == pytest.approx(rows["jaccard"].mean())
        assert scores.loc[name, "true_positive"] == pytest.approx(((found > 0) & (truth > 0)).sum(), abs=20)
    areas = table.groupby("image")[["true_positive", "false_negative"]].sum().sum(axis=1)
    assert areas[images.ids[0]] == (images.masks[0] > 0).sum()


def test_the_likeliest_class_by_hand() -> None:
    probabilities = np.array([[[0.3, 0.3, 0.1], [0.2, 0.45, 0.3], [0.1, 0.1, 0.1], [0.0, 0.0, 1.0]]], np.float32)
    assert likeliest(probabilities).tolist() == [[1, 2, 0, 3]]  # .3 background; .05; .7; 0 (the first of equals wins)
    assert likeliest(np.array([[[0.5], [0.49]]], np.float32)).tolist() == [[1, 0]]
    assert likeliest(np.array([[[0.5, 0.0], [0.25, 0.5]]], np.float32)).tolist() == [[0, 2]]  # as likely as background


def test_the_report_tells_class_from_class(study: Path, data: Path) -> None:
    report = analyze(study, data, features=False).read_text()
    assert "Class by class" in report
    assert "each pixel is of its likeliest class" in report
    table = pd.read_csv(study / "tables" / "class_scores.csv")
    scores = pd.read_parquet(next(study.glob("runs/*/class_scores.parquet")))
    means = scores.groupby(["budget", "class"])[["dice", "jaccard"]].mean()
    sums = scores.groupby(["budget", "class"])[["true_positive", "false_positive", "false_negative"]].sum()
    assert len(table) == 6
    for row in table.to_dict("records"):
        here = row["budget"], row["class"]
        assert [row["dice_mean"], row["jaccard_mean"]] == pytest.approx(means.loc[here].tolist())
        hit, extra, missed = sums.loc[here]
        shown = scores[(scores["budget"] == row["budget"]) & (scores["class"] == row["class"])]
        assert row["shown"] == np.count_nonzero(shown.true_positive + shown.false_negative)
        assert row["pooled_dice_mean"] == pytest.approx(2 * hit / (2 * hit + extra + missed))


@pytest.mark.parametrize("damage", ["gone", "a class gone", "an image twice", "another score"])
def test_damaged_scores_of_classes_are_named(study: Path, data: Path, three: RunConfig, damage: str) -> None:
    file = RunFolder.of(study, three).class_scores
    whole = file.read_bytes()
    table = pd.read_parquet(file)
    try:
        if damage == "gone":
            file.unlink()
        elif damage == "a class gone":
            table[table["class"] != "lumen"].to_parquet(file)
        elif damage == "an image twice":
            pd.concat([table, table[table["image"] == table["image"][0]]]).to_parquet(file)
        else:
            table.assign(dice=table["dice"] * 0.9).to_parquet(file)
        with pytest.raises(InputError, match=r"(?s)class_scores\.parquet: .*remedy"):
            analyze(study, data, features=False)
    finally:
        file.write_bytes(whole)


def test_scores_of_classes_that_may_not_be_read_are_not_to_be_deleted(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pd.read_parquet

    def read(file: Path) -> pd.DataFrame:
        if file.name == "class_scores.parquet":
            raise PermissionError(13, "Permission denied", str(file))
        return whole(file)

    monkeypatch.setattr(pd, "read_parquet", read)
    with pytest.raises(UnreadableError, match=r"class_scores\.parquet: cannot be read: Permission") as raised:
        read_class_scores(read_results(study))
    assert "delete" not in str(raised.value)


def test_scoring_again_after_a_kill_between_the_two_tables(study: Path, three: RunConfig, data: Path) -> None:
    folder = RunFolder.of(study, three)
    before = pd.read_parquet(folder.class_scores)
    folder.scores.unlink()  # as if killed after the table of classes and before the other
    score_run(folder, (NAME,), data)
    pd.testing.assert_frame_equal(pd.read_parquet(folder.class_scores), before)


def test_one_class_and_three_do_not_mix(
    tmp_path: Path, three: RunConfig, run: RunConfig, study: Path, data: Path, data_dir: Path
) -> None:
    binary = dataclasses.replace(three, recipe=dataclasses.replace(three.recipe, model=run.recipe.model))
    with pytest.raises(UsageError, match=r"(?s)synthetic_tissue_a has another number.*set recipe\.model\.classes to 3"):
        train_run(RunFolder(tmp_path / "a"), binary, data, tmp_path)
    with pytest.raises(UsageError, match=r"synthetic_nuclei_a has another number"):
        score_run(RunFolder.of(study, three), ("synthetic_nuclei_a",), data_dir)


def test_a_run_is_not_scored_on_the_same_classes_in_another_order(
    study: Path, three: RunConfig, data: Path, tmp_path: Path
) -> None:
    """As a sweep would that finds the run, but not the dataset that it was trained on."""
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(RunFolder.of(study, three).path, folder.path)
    folder.scores.unlink()
    done = json.loads(folder.done.read_text()) | {"classes": ["lymphocytes", "lumen", "epithelium"]}
    folder.done.write_text(json.dumps(done))
    with pytest.raises(UsageError, match=rf"(?s){NAME}.*lymphocytes, lumen, epithelium"):
        score_run(folder, (NAME,), data)
    assert not folder.scores.exists()


def test_one_class_has_no_second_table(finished: RunFolder) -> None:
    assert not finished.class_scores.exists()


def test_predicted_files_hold_the_classes_that_are_scored(
    study: Path, three: RunConfig, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, images = RunFolder.of(study, three), datasets.load(NAME, data).test
    height, width = images.sizes[0]
    pixels = images.pixels[0, :height, :width]
    Image.fromarray(pixels).save(tmp_path / "tile.png")
    predict_files(folder.path, [tmp_path / "tile.png"], tmp_path / "out")
    (probabilities,) = jaxseg.load(folder.path).probabilities([pixels])
    mask = np.asarray(Image.open(tmp_path / "out/tile_mask.png"))
    np.testing.assert_array_equal(mask, np.dstack([1 - probabilities.sum(-1), probabilities]).argmax(-1))
    assert len(np.unique(mask)) > 2
    overlay = np.asarray(Image.open(tmp_path / "out/tile_overlay.png"))
    colours = {tuple(colour) for colour in overlay[(overlay != pixels).any(-1)].tolist()}
    assert {OUTLINES[value - 1] for value in np.unique(mask[mask > 0])} <= colours <= set(OUTLINES[:3])
    assert "masks hold 0 background, 1 epithelium, 2 lumen, 3 lymphocytes" in capsys.readouterr().out
    done = folder.read_done()
    try:
        write_json(folder.done, {name: value for name, value in done.items() if name != "classes"})  # as it was once
        predict_files(folder.path, [tmp_path / "tile.png"], tmp_path / "out")
    finally:
        write_json(folder.done, done)
    assert "1 … 3 for the classes of dataset synthetic_tissue_a" in capsys.readouterr().out


def test_a_threshold_is_refused(study: Path, three: RunConfig, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "tile.png")
    with pytest.raises(UsageError, match="a threshold is for models of one class, this one has 3"):
        predict_files(RunFolder.of(study, three).path, [tmp_path / "tile.png"], tmp_path / "out", threshold=0.3)
    assert not (tmp_path / "out").exists()
