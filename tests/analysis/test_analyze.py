import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricated_study import FakeModel, fake_card, fake_images

from jaxseg.analysis import embedding
from jaxseg.analysis.analyze import analyze
from jaxseg.analysis.sources import Sources, default_sources
from jaxseg.datasets.card import Row
from jaxseg.datasets.prepared import prepared_folder
from jaxseg.errors import InputError
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder

TABLES = {"scores", "summary", "paired_tests", "out_of_domain", "budgets", "baseline", "features", "recommendation"}
SOURCES = Sources(FakeModel, fake_images, fake_card)


@pytest.fixture(autouse=True)
def quick_umap(monkeypatch):
    """UMAP itself is tested in test_embedding; here its place is what counts."""
    monkeypatch.setattr(
        embedding, "embed", lambda vectors, n, seed: np.random.default_rng(seed).normal(size=(len(vectors), 2))
    )


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [f for f in folder.rglob("*") if f.is_file() and "runs" not in f.parts]
    return {str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mtime_ns) for f in files}


def run(made, **options):
    return analyze(made.folder, Path("nowhere"), **{"sources": SOURCES, **options})


def test_everything_is_written(small_study):
    made = small_study()
    report = run(made)
    assert report == made.folder / "report.html"
    assert {file.stem for file in (made.folder / "tables").iterdir()} == TABLES
    figures = {file.name for file in (made.folder / "figures").iterdir()}
    for name in ("learning_curves", "budget_curves", "paired_differences", "umap", "training_curves"):
        assert {f"{name}.png", f"{name}.pdf"} <= figures
    assert "overlays_tissue_a.png" in figures
    table = pd.read_csv(made.folder / "tables" / "summary.csv")
    assert {"dice_mean", "dice_sd", "pooled_dice_mean", "all_foreground_dice"} <= set(table.columns)
    answers = pd.read_csv(made.folder / "tables" / "recommendation.csv")
    assert set(answers.trivial) == set(table[table.subset == "all"].all_foreground_dice)


def test_again_nothing_is_touched_and_afresh_the_bytes_are_the_same(small_study):
    made = small_study()
    run(made)
    first = snapshot(made.folder)
    said: list[str] = []
    run(made, progress=said.append)
    assert said == ["nothing has changed since the last analysis"]
    assert snapshot(made.folder) == first
    (made.folder / "analysis.json").unlink()
    run(made)
    again = snapshot(made.folder)
    assert {name: content for name, (content, _) in again.items()} == {n: c for n, (c, _) in first.items()}
    assert again["report.html"][1] != first["report.html"][1]


@pytest.mark.parametrize("place", [".", "figures", "tables"])
def test_a_study_that_may_not_be_written_to_is_told_before_models_are_opened(small_study, monkeypatch, place):
    made = small_study()
    (made.folder / place).mkdir(exist_ok=True)
    refused = (made.folder / place).resolve()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).resolve() != refused)
    unopened = Sources(lambda path: pytest.fail(f"{path} was opened"), fake_images, fake_card)
    with pytest.raises(InputError, match=rf"(?s){refused}: may not be written to.*remedy: +copy the study"):
        run(made, sources=unopened)


def test_without_features_no_model_is_opened(small_study):
    made = small_study()
    run(made)

    def fail(*_: object) -> None:
        raise AssertionError("opened")

    run(made, features=False, sources=Sources(fail, fail, fake_card))  # type: ignore[arg-type]
    names = {file.stem for folder in ("tables", "figures") for file in (made.folder / folder).iterdir()}
    assert not names & {"features", "umap", "overlays_tissue_a"}
    assert "No model was opened" in (made.folder / "report.html").read_text()


def test_features_are_not_given_up_because_the_data_lie_elsewhere(small_study):
    made = small_study()
    run(made)
    first = snapshot(made.folder)
    elsewhere = Sources(FakeModel, fake_images, lambda name: None)
    with pytest.raises(InputError, match=r"nowhere: .*features and pictures.*tissue_a\n.*--data-dir.*--no-features"):
        run(made, sources=elsewhere)
    assert snapshot(made.folder) == first
    run(made, features=False)
    said: list[str] = []
    run(made, sources=elsewhere, progress=said.append)
    assert "no features and pictures of datasets that are not prepared in nowhere: tissue_a" in said


def test_other_data_than_were_scored_are_not_pictured(small_study):
    made = small_study()
    folder = RunFolder.of(made.folder, made.study.runs()[0])
    write_json(folder.done, folder.read_done() | {"fingerprints": {"tissue_a": "former"}})
    with pytest.raises(InputError, match=r"are not those that runs were scored on(.|\n)*--no-features"):
        run(made)
    assert run(made, features=False).is_file()


def test_a_partly_finished_study(small_study):
    made = small_study(weights=("random", "imagenet", "pathology"))
    for number, run_config in enumerate(made.study.runs()):
        folder = RunFolder.of(made.folder, run_config)
        if run_config.weights == "imagenet" or number == 0:
            folder.done.unlink()
        if number == 1:
            folder.error.write_text("InputError: <b>lesion</b>.png cannot be read")
    text = run(made).read_text()
    assert "7 of 12 runs finished" in text
    assert "&lt;b&gt;lesion&lt;/b&gt;.png cannot be read" in text
    assert "no finished run of imagenet" in text
    assert "different repeats here: tissue_a at 50 %." in text
    table = pd.read_csv(made.folder / "tables" / "paired_tests.csv")
    assert set(table.loc[table.weights == "imagenet", "verdict"]) == {"no data"}
    assert table.query("family == 'reference' and weights == 'pathology' and fraction == 0.5").repeats.item() == 1


def test_a_model_that_cannot_be_opened_costs_the_features_only_and_is_tried_again(small_study):
    made = small_study()

    def fail(folder: Path) -> FakeModel:
        raise InputError("the checkpoint is damaged", file=folder)

    text = run(made, sources=Sources(fail, fake_images, fake_card)).read_text()
    assert "the checkpoint is damaged" in text
    run(made)
    assert "the checkpoint is damaged" not in (made.folder / "report.html").read_text()
    assert (made.folder / "figures" / "umap.png").exists()


def test_one_weights_one_repeat_one_budget_one_fraction(small_study):
    recipe = small_study().study.recipe
    alone = type(recipe)(**{**vars(recipe), "budgets": (20,)})
    values = {"weights": ("random",), "repeats": 1, "fractions": (1.0,), "recipe": alone, "name": "alone"}
    made = small_study(**values, test_datasets=())
    text = run(made).read_text()
    assert "nothing to compare" in text
    assert "domain" not in re.sub(r'src="[^"]*"', "", text), "it was tested on images of its own dataset alone"
    for name in ("budget_curves", "out_of_domain"):
        assert not (made.folder / "figures" / f"{name}.png").exists()


def test_one_repeat_on_one_patient_has_no_intervals(small_study):
    made = small_study(images=2, repeats=1)  # two images of one patient
    text = run(made).read_text()
    assert "shows no spread, so there is no interval." in text
    assert "points [no interval]" in text
    assert "nan" not in re.sub(r'src="[^"]*"', "", text)
    assert not re.search(r"\d – \d|\d … [+−]?\d", text[text.index('id="scores"') : text.index('id="features"')])


@pytest.mark.parametrize("weights", [("random", "pathology"), ("random",)])
def test_images_that_count_as_patients_are_told(small_study, weights):
    told = "tissue_a: every test image counts as a patient of its own"
    made = small_study(images=2, weights=weights)
    assert told not in run(made, features=False).read_text()
    for file in made.folder.glob("runs/*/scores.parquet"):
        scores = pd.read_parquet(file)
        scores.assign(patient=scores["image"]).to_parquet(file)
    assert told in run(made, features=False).read_text()


def test_the_report_stands_alone_and_says_what_it_must(finished_study):
    text = run(finished_study).read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "<script" not in text
    assert text.index("Which weights to start from") < text.index("Paired comparisons")
    for part in (
        "Start from pathology",
        "Tied: ",
        "all-foreground Dice",
        "never give\np below 0.0625",
        "There are 6 such families",
        "same weights, other repeat",
        "Somebody &amp; Others",
        "BSD-3",
        "n_neighbors 25",
        "1 × cpu",
        "What was run",
        'id="domain"',
    ):
        assert part in text, part
    assert text.count("How to read it.") == 8
    assert (finished_study.folder / "figures" / "out_of_domain.pdf").exists()


@pytest.mark.parametrize("match", ["epochs", "steps"])
def test_where_more_images_took_more_steps_the_report_says_so(small_study, match):
    text = run(small_study(match=match), features=False).read_text()
    assert ("<li>More images and thus more training steps, " in text) == (match == "epochs")
    assert ("with equal epochs the two grow together" in text) == (match == "epochs")


def test_what_preparing_warned_of_reaches_the_report(small_study):
    made = small_study()
    text = run(made, features=False).read_text()
    assert "preparing warned of" not in text
    rows = (
        Row("a", "train", "train", "p1", 10, 20, 3, 0.25, "00", "10"),
        Row("b", "test", "test", "p1", 10, 20, 3, 0.25, "00", "10"),
    )
    odd = dataclasses.replace(fake_card("tissue_a"), warnings=("no foreground in 2 images: <c>",), images=rows)
    warned = run(made, features=False, sources=Sources(FakeModel, fake_images, lambda name: odd)).read_text()
    assert "<li>no foreground in 2 images: &lt;c&gt;</li>" in warned
    top = warned[: warned.index("Which weights to start from")]
    assert "The test images of tissue_a are not apart from its training images: 1 test image is equal" in top
    assert "1 patient has images in train and in test: p1. Scores on them flatter." in top
    unknown = run(made, features=False, sources=Sources(FakeModel, fake_images, lambda name: None)).read_text()
    assert "what preparing warned of cannot be told" in unknown


def test_the_card_of_prepared_data_is_at_hand(tmp_path):
    card = default_sources(tmp_path).card
    assert card("tissue_a") is None
    fake_card("tissue_a").write(prepared_folder("tissue_a", tmp_path))
    assert card("tissue_a") == fake_card("tissue_a")


def test_everything_is_escaped(small_study):
    made = small_study(title='<script>alert("x")</script>')
    assert "<script" not in run(made).read_text()


def test_a_folder_that_is_no_study(tmp_path):
    with pytest.raises(InputError, match=r"study\.json"):
        analyze(tmp_path, tmp_path)
