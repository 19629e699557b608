import pytest

from jaxseg.analysis.fingerprint import finished, inputs_digest, is_complete, is_current, keep_record
from jaxseg.run_folder import RunFolder


@pytest.fixture
def analysed(small_study):
    made = small_study()
    output = made.folder / "tables" / "a.csv"
    output.parent.mkdir()
    output.write_text("a\n")
    keep_record(made.folder, inputs_digest(made.folder, ()), [output], (), {})
    return made, output


def current(made):
    return is_current(made.folder, inputs_digest(made.folder, ()))


def test_nothing_changed(analysed):
    assert current(analysed[0])


INPUTS = ("config.json", "split.json", "scores.parquet", "class_scores.parquet", "weights.json", "log.jsonl")


@pytest.mark.parametrize("name", [*INPUTS, "DONE.json", "../../study.json"])
def test_a_changed_input_is_seen(analysed, name):
    made, _ = analysed
    with (RunFolder.of(made.folder, made.study.runs()[0]).path / name).open("ab") as stream:
        stream.write(b" ")
    assert not current(made)


def test_a_changed_or_missing_output_is_seen(analysed):
    made, output = analysed
    output.write_text("b\n")
    assert not current(made)
    output.unlink()
    assert not current(made)


def test_other_choices_are_seen(analysed):
    made, _ = analysed
    assert not is_current(made.folder, inputs_digest(made.folder, ("no features",)))


def test_progress_of_an_unfinished_run_is_no_change(analysed):
    made, output = analysed
    run = RunFolder.of(made.folder, made.study.runs()[0])
    run.done.unlink()
    keep_record(made.folder, inputs_digest(made.folder, ()), [output], (), {})
    run.log.write_text("{}\n")
    assert current(made)
    run.error.write_text("InputError: image_3.png: cannot be read\n")
    assert not current(made), "the report says why a run failed"


def test_an_unrecorded_digest_or_a_damaged_record_is_never_current(analysed):
    made, output = analysed
    keep_record(made.folder, None, [output], (), {})
    assert not current(made)
    (made.folder / "analysis.json").write_text("{")
    assert not current(made)


def test_what_only_the_last_analysis_wrote_is_removed(analysed):
    made, output = analysed
    other = output.with_name("b.csv")
    other.write_text("b\n")
    keep_record(made.folder, "x", [other], (), {})
    assert other.exists()
    assert not output.exists()


def test_a_record_cannot_remove_files_outside(analysed, tmp_path):
    made, output = analysed
    outside = tmp_path / "outside.txt"
    outside.write_text("keep")
    (made.folder / "analysis.json").write_text('{"inputs": "x", "outputs": {"../outside.txt": "0"}}')
    keep_record(made.folder, "y", [output], (), {})
    assert outside.exists()


def test_a_record_is_complete_until_a_run_ends_or_a_file_is_lost(analysed):
    made, output = analysed
    keep_record(made.folder, "x", [output], (), finished(made.folder))
    assert is_complete(made.folder)
    done = RunFolder.of(made.folder, made.study.runs()[0]).done
    content = done.read_bytes()
    done.unlink()
    assert not is_complete(made.folder)
    done.write_bytes(content)
    assert is_complete(made.folder)
    output.unlink()
    assert not is_complete(made.folder)
