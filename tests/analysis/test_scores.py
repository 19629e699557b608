import pandas as pd
import pytest

from jaxseg.analysis.findings import find
from jaxseg.analysis.scores import COLUMNS, read_results, training_images
from jaxseg.config import RunConfig, TrainedWeights
from jaxseg.errors import InputError, UnreadableError
from jaxseg.files import read_json, write_json
from jaxseg.run_folder import RunFolder


def test_all_finished_runs_are_read(finished_study):
    results = read_results(finished_study.folder)
    runs = finished_study.study.runs()
    assert len(results.scores) == len(runs) * 3 * 2 * 20
    assert tuple(results.scores.columns) == COLUMNS
    assert {state.state for state in results.runs} == {"done"}
    assert results.study == finished_study.study
    assert results.strangers == ()


def test_unfinished_failed_and_foreign_runs_are_listed(small_study):
    made = small_study()
    runs = made.study.runs()
    folders = [RunFolder.of(made.folder, run) for run in runs]
    folders[0].done.unlink()
    folders[1].done.unlink()
    folders[1].error.write_text("InputError: image_3.png: cannot be read\n")
    stranger = RunConfig("elsewhere", recipe=made.study.recipe)
    RunFolder.of(made.folder, stranger).create(stranger)
    results = read_results(made.folder)
    states = {state.run.run_id: state for state in results.runs}
    assert states[runs[0].run_id].state == "unfinished"
    assert states[runs[1].run_id].state == "failed"
    assert "image_3.png" in states[runs[1].run_id].reason
    assert results.strangers == (stranger.run_id,)
    assert len(results.finished()) == len(runs) - 2
    assert not (results.scores["repeat"].eq(0) & results.scores["fraction"].eq(0.5)).any()


def test_runs_that_make_weights_are_listed_but_not_scored(small_study):
    preparation = RunConfig("tissue_b")
    made = small_study(trained_weights=(TrainedWeights("pathology", preparation),))
    results = read_results(made.folder)
    extra = [state for state in results.runs if state.part == "preparation"]
    assert [(state.run, state.state) for state in extra] == [(preparation, "not started")]
    assert "tissue_b" not in set(results.scores["trained_on"])


@pytest.mark.parametrize("use", ["trained", "scored"])
def test_runs_of_data_that_were_prepared_anew_in_between_are_not_mixed(small_study, use):
    made = small_study()
    runs = made.study.runs()
    for number, run in enumerate(runs):
        folder, data = RunFolder.of(made.folder, run), "new" if number == 3 else "former"
        split = read_json(folder.split, remedy="")
        write_json(folder.split, split | {"dataset": run.dataset, "fingerprint": data if use == "trained" else "f"})
        write_json(folder.done, folder.read_done() | {"fingerprints": {"tissue_a": data if use == "scored" else "f"}})
    with pytest.raises(InputError, match=f"runs were {use} on different data of tissue_a") as raised:
        read_results(made.folder)
    assert f"fingerprint new: {runs[3].run_id}\n" in str(raised.value)


def test_no_finished_run(small_study):
    made = small_study()
    for run in made.study.runs():
        RunFolder.of(made.folder, run).done.unlink()
    with pytest.raises(InputError, match="no run of the study has finished"):
        read_results(made.folder)


def test_no_study(tmp_path):
    with pytest.raises(InputError, match=r"study\.json"):
        read_results(tmp_path)


def damage_text(table: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    table[column] = value
    return table


DAMAGES = {
    "lacks columns: patient": lambda t: t.drop(columns="patient"),
    "scores of another run: weights": lambda t: damage_text(t, "weights", "imagenet"),
    "other epoch budgets": lambda t: t[t["budget"] < 80],
    "an image is scored twice": lambda t: pd.concat([t, t.iloc[:1]]),
    "dice does not agree with the counts": lambda t: damage_text(t, "dice", 0.123),
    "jaccard does not agree with the counts": lambda t: damage_text(t, "jaccard", 0.123),
    "empty names": lambda t: damage_text(t, "patient", None),
    "negative counts": lambda t: damage_text(t, "true_negative", -1),
}


@pytest.mark.parametrize("problem", DAMAGES)
def test_damaged_scores_name_the_file(small_study, problem):
    made = small_study()
    folder = RunFolder.of(made.folder, made.study.runs()[0])
    DAMAGES[problem](pd.read_parquet(folder.scores)).to_parquet(folder.scores)
    with pytest.raises(InputError, match=problem) as caught:
        read_results(made.folder)
    assert str(folder.scores) in str(caught.value)


def test_a_file_that_is_not_parquet(small_study):
    made = small_study()
    folder = RunFolder.of(made.folder, made.study.runs()[0])
    folder.scores.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="cannot be read as scores"):
        read_results(made.folder)


def test_scores_that_may_not_be_read_are_not_to_be_deleted(small_study, monkeypatch):
    def refuse(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(pd, "read_parquet", refuse)
    with pytest.raises(UnreadableError, match=r"scores\.parquet: cannot be read: Permission denied") as raised:
        read_results(small_study().folder)
    assert "delete" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.assign(true_negative=t["true_negative"] + 1), "ground truth of image"),
        (lambda t: t.assign(patient=t["patient"] + "x"), "ground truth of image"),
        (lambda t: t.assign(subset="other"), "ground truth of image"),
        (lambda t: t[t["image"] != "image_00"], "different images"),
    ],
)
def test_runs_scored_against_different_truth_are_refused(small_study, change, problem):
    made = small_study()
    folder = RunFolder.of(made.folder, made.study.runs()[0])
    change(pd.read_parquet(folder.scores)).to_parquet(folder.scores)
    with pytest.raises(InputError, match=problem):
        read_results(made.folder)


def test_number_of_training_images(small_study):
    made = small_study()
    state = read_results(made.folder).find(fraction=0.5, weights="random", repeat=0)[0]
    assert training_images(state) == 40
    for damaged in ('{"train": ["a', "[1]", "{}", '{"train": 3}'):
        state.folder.split.write_text(damaged)
        with pytest.raises(InputError, match=r"(?s)split\.json: .*remedy: +delete"):
            training_images(state)
    state.folder.split.unlink()
    assert training_images(state) is None


def test_runs_that_a_former_rule_divided_are_told_beside_others(small_study):
    """Of whatever weights or fraction: validation images depend on dataset and repeat alone."""
    made = small_study()
    assert find(read_results(made.folder), {}).notes == ()
    first, *_, last = (run for run in made.study.runs() if run.repeat == 1)
    assert (first.weights, first.fraction) != (last.weights, last.fraction)
    split = RunFolder.of(made.folder, last).split
    write_json(split, read_json(split, remedy="") | {"validation": ["another"]})
    (note,) = find(read_results(made.folder), {}).notes
    assert note.startswith("Runs of tissue_a had different validation images in one repeat (repeats 1): ")


@pytest.mark.parametrize("line", ["{}x\n", '{"step": 1, "ep\n', "3\n", "[]\n", "\0\0\n", "\n"])
def test_a_damaged_line_of_the_log_is_named(small_study, line):
    made = small_study()
    folder = RunFolder.of(made.folder, made.study.runs()[0])
    lines = folder.log.read_text().splitlines(keepends=True)
    folder.log.write_text("".join([lines[0], line, *lines[1:]]))
    with pytest.raises(InputError, match=r"(?s)log\.jsonl, line 2: is not a line of the log.*remedy: +delete"):
        folder.read_log()


def test_a_last_line_of_the_log_that_was_cut_short_is_left_out(small_study):
    made = small_study()
    folder = RunFolder.of(made.folder, made.study.runs()[0])
    whole = folder.read_log()
    folder.log.write_bytes(folder.log.read_bytes()[:-5])
    assert folder.read_log() == whole[:-1]
    folder.log.write_bytes(folder.log.read_bytes() + b"\xff")
    assert folder.read_log() == whole[:-1]
