from jaxseg.analysis.baseline import all_foreground
from jaxseg.analysis.provenance import dataset_facts, images_per_fraction
from jaxseg.analysis.scores import read_results
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder


def test_training_images_are_a_range_where_repeats_differ(small_study):
    made = small_study()
    for run in made.study.runs():
        if run.fraction == 1.0:
            images = [f"t{i}" for i in range(80 - 5 * run.repeat)]
            write_json(RunFolder.of(made.folder, run).split, {"train": images, "validation": ["v0"], "notes": []})
    results = read_results(made.folder)
    assert images_per_fraction(results) == {("tissue_a", 0.5): "40", ("tissue_a", 1.0): "75 to 80"}
    (facts,) = dataset_facts(results, all_foreground(results.scores))
    assert facts["training_images"] == "75 to 80"
