"""What the report tells of weights and data, from the files that the runs left."""

import pytest

from jaxseg.analysis.baseline import all_foreground
from jaxseg.analysis.provenance import dataset_facts, images_per_fraction, run_facts, weights_receipts
from jaxseg.analysis.scores import read_results
from jaxseg.files import read_json, write_json
from jaxseg.run_folder import RunFolder


def several(made):
    return {item["name"]: item["several"] for item in weights_receipts(read_results(made.folder))}


@pytest.mark.parametrize(
    ("field", "value"), [("arrays_sha256", "ef" * 32), ("mean", [0.4, 0.5, 0.5]), ("std", [0.3, 0.2, 0.2])]
)
def test_runs_of_one_name_that_started_otherwise_are_told(small_study, field, value):
    made = small_study()
    assert several(made) == {"random": False, "pathology": False}
    run = next(run for run in made.study.runs() if run.weights == "pathology")
    file = RunFolder.of(made.folder, run).weights
    write_json(file, read_json(file, remedy="") | {field: value})
    assert several(made) == {"random": False, "pathology": True}


def test_training_images_are_a_range_where_repeats_differ(small_study):
    made = small_study()
    for run in made.study.runs():
        if run.fraction == 1.0:
            images = [f"t{i}" for i in range(80 - 5 * run.repeat)]
            write_json(RunFolder.of(made.folder, run).split, {"train": images, "validation": ["v0"], "notes": []})
    results = read_results(made.folder)
    assert images_per_fraction(results) == {("tissue_a", 0.5): "40", ("tissue_a", 1.0): "75 to 80"}
    (facts,) = dataset_facts(results, all_foreground(results.scores), {})
    assert facts["training_images"] == "75 to 80"
    images = results.scores.drop_duplicates("image")
    assert facts["test_images"] == len(images) == 6
    assert facts["foreground"] == (images.true_positive + images.false_negative).sum() / 60_000


def test_what_was_run_is_summed_over_the_runs_that_are_done(small_study):
    made = small_study()
    folders = [RunFolder.of(made.folder, run) for run in made.study.runs()]
    for number, folder in enumerate(folders):
        write_json(folder.done, folder.read_done() | {"seconds": 10.0**number, "steps": 2**number})
    folders[-1].done.unlink()
    facts = run_facts(read_results(made.folder))
    assert (facts["total"], facts["states"]) == (8, {"done": 7, "unfinished": 1})
    assert (facts["seconds"], facts["steps"]) == (1_111_111, 127)
    assert [state.folder for state in facts["incomplete"]] == [folders[-1]]
