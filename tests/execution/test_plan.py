"""States of runs, and why some cannot start."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
from fake_program import receipt
from studies import prepare, small_study

from jaxseg.config import Locations, RunConfig, Study, TrainedWeights
from jaxseg.datasets.prepared import read_card
from jaxseg.errors import InputError, UsageError
from jaxseg.execution.plan import check_can_start, check_same_study, make_plan, study_weights
from jaxseg.files import write_json, write_text
from jaxseg.run_folder import RunFolder


def states(study: Study, folder: Path, locations: Locations) -> dict[str, str]:
    plan = make_plan(study, folder, locations)
    return {f"{i.run.dataset}-{i.run.weights}-{i.run.fraction:g}": i.state for i in plan.items}


def finish(folder: Path, run: RunConfig, tested_on: tuple[str, ...]) -> None:
    RunFolder.of(folder, run).create(run)
    write_json(RunFolder.of(folder, run).done, {"images_per_second": 2.0, "test_datasets": list(tested_on)})


def test_new_study(study: Study, tmp_path: Path, locations: Locations) -> None:
    plan = make_plan(study, tmp_path / "study", locations)
    assert states(study, tmp_path / "study", locations) == {
        "cells-random-1": "ready",
        "site_a-random-0.5": "ready",
        "site_a-nuclei-0.5": "waiting",
        "site_a-random-1": "ready",
        "site_a-nuclei-1": "waiting",
    }
    maker, *grid = plan.items
    assert (maker.keeps, maker.tested_on) == (("nuclei",), ("cells",))
    assert all(item.tested_on == ("site_a", "site_b") for item in grid)
    assert {item.after for item in plan.of("waiting")} == {maker.id}
    assert {item.weights_dir for item in plan.of("waiting")} == {study_weights(tmp_path / "study")}
    assert not (tmp_path / "study").exists(), "planning writes nothing"


def test_the_grid_of_a_large_study_is_made_once(
    study: Study, tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, runs = [], Study.runs
    monkeypatch.setattr(Study, "runs", lambda self: made.append(self) or runs(self))  # type: ignore[func-returns-value]
    make_plan(study, tmp_path, locations)
    assert len(made) == 1, "for each run, it would take as long as the square of their number"


def test_states_follow_the_folders(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    half, _, whole, _ = study.runs()
    finish(folder, half, ("site_a", "site_b"))
    RunFolder.of(folder, whole).checkpoints.mkdir(parents=True)
    assert states(study, folder, locations)["site_a-random-0.5"] == "done"
    assert states(study, folder, locations)["site_a-random-1"] == "partial"
    write_text(RunFolder.of(folder, whole).error, "Traceback\n  ...\n\nno space left\n  remedy: free some\n")
    assert states(study, folder, locations)["site_a-random-1"] == "failed"
    assert make_plan(study, folder, locations).of("failed")[0].why == "no space left"


def test_finished_run_lacks_scores_of_a_dataset_that_came_later(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    folder, run = tmp_path / "study", study.runs()[0]
    finish(folder, run, ("site_a",))
    shutil.rmtree(locations.data / "site_b")
    assert states(study, folder, locations)["site_a-random-0.5"] == "done"
    prepare(locations.data, "site_b")
    assert states(study, folder, locations)["site_a-random-0.5"] == "ready"


def test_runs_of_data_that_were_prepared_anew_are_told_once_and_not_taken_for_done(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    folder = tmp_path / "study"
    half, _, whole, _ = study.runs()
    data = {"dataset": "site_a", "fingerprint": read_card("site_a", locations.data).fingerprint}
    for run in (half, whole):
        finish(folder, run, ("site_a", "site_b"))
        write_json(RunFolder.of(folder, run).split, data)
    assert states(study, folder, locations)["site_a-random-1"] == "done"
    prepare(locations.data, "site_a", images=11)
    plan = make_plan(study, folder, locations)
    assert [item.run for item in plan.of("missing")] == [half, whole]
    (note,) = plan.notes
    assert "the prepared data of site_a are not those that runs were trained on" in note
    assert f"delete {folder / 'runs'}/site_a-*" in note
    shutil.rmtree(locations.data / "site_a")
    assert states(study, folder, locations)["site_a-random-1"] == "done", "data that are not at hand have not changed"


def test_a_site_that_counts_classes_in_another_order_is_left_out(
    study: Study, tmp_path: Path, locations: Locations
) -> None:
    model = dataclasses.replace(study.recipe.model, classes=2)
    recipe = dataclasses.replace(study.recipe, model=model)
    study = dataclasses.replace(study, recipe=recipe, weights=("random",), trained_weights=())
    for name in ("site_a", "site_b"):
        prepare(locations.data, name, classes=("gland", "vessel"))
    plan = make_plan(study, tmp_path / "study", locations)
    assert not plan.notes
    assert {item.tested_on for item in plan.items} == {("site_a", "site_b")}
    prepare(locations.data, "site_b", classes=("vessel", "gland"))
    plan = make_plan(study, tmp_path / "study", locations)
    (note,) = plan.notes
    assert "site_b has other classes" in note
    assert {item.tested_on for item in plan.items} == {("site_a",)}
    (locations.data / "site_a" / "1.0.0" / "jaxseg.json").write_text('{"files": {}}')
    (damaged,) = make_plan(study, tmp_path / "study", locations).notes  # of site_b there is nothing to compare with
    assert "site_a" in damaged


@pytest.mark.parametrize("name", ["DONE.json", "split.json"])
def test_a_run_with_a_damaged_file_stops_no_other(
    study: Study, tmp_path: Path, locations: Locations, name: str
) -> None:
    folder, run = tmp_path / "study", study.runs()[0]
    finish(folder, run, ("site_a", "site_b"))
    damaged = RunFolder.of(folder, run).path / name
    damaged.write_text("{")
    plan = make_plan(study, folder, locations)
    (item,) = plan.of("missing")
    assert item.run == run
    assert str(damaged) in item.why
    assert "remedy" in item.why
    assert len(plan.startable) == len(plan.items) - 1


def test_weights_must_have_been_kept(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    finish(folder, study.trained_weights[0].run, ("cells",))
    assert states(study, folder, locations)["cells-random-1"] == "ready"
    model = study.recipe.model
    receipt("nuclei", model.depth, model.width).write(study_weights(folder) / "nuclei")
    assert states(study, folder, locations)["cells-random-1"] == "done"
    assert states(study, folder, locations)["site_a-nuclei-1"] == "ready"


def test_missing_data_and_weights_are_named_with_their_remedy(tmp_path: Path, locations: Locations) -> None:
    study = dataclasses.replace(
        small_study(), datasets=("site_a", "glas"), test_datasets=(), weights=("random", "imagenet_v1", "wrong")
    )
    receipt("wrong", 50, 1.0).write(locations.weights / "wrong")
    plan = make_plan(study, tmp_path / "study", locations)
    notes = "\n".join(plan.notes)
    assert f"{locations.data}/glas" in notes
    assert "launch/prepare.py glas" in notes
    assert "warwick.ac.uk" in notes
    assert f"{locations.weights / 'imagenet_v1'}: no such weights" in notes
    assert "weights_convert" in notes
    assert re.search(r"found: +ResNet50, width 1\n +expected: .*\n +remedy: +choose other weights", notes)
    assert [item.run.weights for item in plan.of("ready")] == ["random"] * 3, "the maker and two runs on site_a"
    assert len(plan.of("missing")) == 4 + 6


def test_runs_that_need_weights_that_cannot_be_made(study: Study, tmp_path: Path, locations: Locations) -> None:
    shutil.rmtree(locations.data / "cells")
    plan = make_plan(study, tmp_path / "study", locations)
    assert len(plan.of("missing")) == 3
    assert any("cannot be trained" in note for note in plan.notes)
    assert len(plan.of("ready")) == 2


def test_a_plan_of_which_nothing_can_start_is_told(study: Study, tmp_path: Path, locations: Locations) -> None:
    folder = tmp_path / "study"
    check_can_start(make_plan(study, folder, locations))
    shutil.rmtree(locations.data / "cells")
    check_can_start(make_plan(study, folder, locations))  # of which three runs of five cannot
    for run in study.runs()[::2]:
        finish(folder, run, ("site_a", "site_b"))
    with pytest.raises(InputError, match="none of the 3 runs that are left can start"):
        check_can_start(make_plan(study, folder, locations))


def test_data_of_another_task(study: Study, tmp_path: Path, locations: Locations) -> None:
    wrong = dataclasses.replace(study, task="nuclei")
    notes = "".join(make_plan(wrong, tmp_path / "study", locations).notes)
    assert re.search(
        r"another task\n +found: +(\w+)\n +expected: +nuclei\n +remedy: +train and test on datasets of one task", notes
    )


def test_data_of_another_number_of_classes(tmp_path: Path, locations: Locations) -> None:
    base = small_study()
    several = dataclasses.replace(base.recipe, model=dataclasses.replace(base.recipe.model, classes=3))
    (made,) = base.trained_weights
    maker = dataclasses.replace(made, run=dataclasses.replace(made.run, recipe=several))
    for study, what in (
        (dataclasses.replace(base, recipe=several, trained_weights=(), weights=("random",)), "site_a"),
        (dataclasses.replace(base, trained_weights=(maker,)), "cells"),
    ):
        found = states(study, tmp_path / "study", locations)
        assert {state for run, state in found.items() if run.startswith(what)} == {"missing"}
        assert "another number of classes" in "".join(make_plan(study, tmp_path / "study", locations).notes)


def test_two_trained_weights_of_one_name_are_refused(tmp_path: Path, locations: Locations) -> None:
    base = small_study()
    (first,) = base.trained_weights
    second = TrainedWeights("nuclei", RunConfig("site_b", recipe=base.recipe))
    with pytest.raises(UsageError, match=r"have one name\n +found: +\['nuclei'\]"):
        make_plan(dataclasses.replace(base, trained_weights=(first, second)), tmp_path / "study", locations)


def test_weights_from_weights_come_in_order(tmp_path: Path, locations: Locations) -> None:
    base = small_study()
    first = base.trained_weights[0]
    second = TrainedWeights("both", RunConfig("site_b", weights="nuclei", recipe=base.recipe))
    study = dataclasses.replace(base, weights=("both",), trained_weights=(second, first))
    plan = make_plan(study, tmp_path / "study", locations)
    assert [item.keeps for item in plan.items[:2]] == [("nuclei",), ("both",)]
    circle = dataclasses.replace(first, run=dataclasses.replace(first.run, weights="both"))
    with pytest.raises(UsageError, match="need each other"):
        make_plan(dataclasses.replace(study, trained_weights=(circle, second)), tmp_path, locations)


def test_run_that_is_in_the_grid_and_makes_weights_is_one_run(tmp_path: Path, locations: Locations) -> None:
    base = small_study()
    maker = TrainedWeights("nuclei", base.runs()[2])
    study = dataclasses.replace(base, trained_weights=(maker,))
    plan = make_plan(study, tmp_path / "study", locations)
    assert len(plan.items) == 4
    assert plan.items[0].keeps == ("nuclei",)
    assert plan.items[0].tested_on == ("site_a", "site_b")


def test_folder_of_another_study_is_refused_a_grown_one_is_not(study: Study, tmp_path: Path) -> None:
    check_same_study(study, tmp_path)
    write_json(tmp_path / "study.json", study.to_json())
    check_same_study(study, tmp_path)
    check_same_study(dataclasses.replace(study, name="other"), tmp_path)  # no run has begun
    RunFolder.of(tmp_path, study.runs()[0]).create(study.runs()[0])
    check_same_study(small_study(repeats=3, fractions=(0.5, 0.75, 1.0)), tmp_path)
    with pytest.raises(UsageError, match="holds another study"):
        check_same_study(dataclasses.replace(study, name="other"), tmp_path)
    wider = dataclasses.replace(study.recipe.model, width=1 / 8)
    other = dataclasses.replace(study.recipe, budgets=(2, 3, 9), model=wider)
    changed = (
        r"(?s)found: +recipe.model.width 0.0625, recipe.budgets \(2, 3\), .*expected: recipe.model.width 0.125, rec"
    )
    with pytest.raises(UsageError, match=f"{changed}.*another recipe"):
        check_same_study(small_study(recipe=other), tmp_path)
