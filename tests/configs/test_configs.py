"""The studies that come with the project: how many runs, and what the paper fixes."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxseg.config import RANDOM, Locations, ModelConfig, Recipe, RunConfig, Study, TrainedWeights, load_study
from jaxseg.errors import UsageError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def study(name: str) -> Study:
    return load_study(CONFIGS / f"{name}.py")


@pytest.mark.parametrize(
    ("name", "runs", "epochs", "datasets"),
    [
        ("paper_glands", 250, 4000, ("glas", "crag")),
        ("paper_cells", 375, 2000, ("kumar", "cpm17", "tnbc")),
    ],
)
def test_paper(name: str, runs: int, epochs: int, datasets: tuple[str, ...]) -> None:
    paper = study(name)
    ids = {run.run_id for run in paper.runs()}
    assert len(ids) == runs == len(datasets) * 5 * 5 * 5
    assert paper.datasets == datasets
    assert paper.tested_on == datasets
    assert paper.weights == (RANDOM, "imagenet_v1", "imagenet_v2", "ssl_image", "ssl_pathology")
    recipe = paper.recipe
    assert (recipe.crop, recipe.stride, recipe.batch, recipe.learning_rate) == (256, 128, 16, 1e-4)
    assert recipe.budgets[-1] == epochs
    assert recipe.model == ModelConfig(depth=50, width=1.0)
    assert paper.match == "epochs"


def test_demo_compares_what_it_should() -> None:
    demo = study("demo")
    assert len(demo.runs()) == 24
    assert (len(demo.weights), len(demo.fractions), demo.repeats, len(demo.datasets)) == (2, 2, 3, 2)
    (trained,) = demo.trained_weights
    assert trained.name in demo.weights
    assert trained.run.dataset.startswith("synthetic_nuclei")
    assert trained.run.recipe.model == demo.recipe.model, "the encoder must fit"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.py")), ids=lambda file: file.stem)
def test_docstring_says_what_to_expect_and_the_command(file: Path) -> None:
    text = file.read_text().split('"""')[1]
    assert f"python launch/sweep.py configs/{file.name} --out studies/" in text
    assert "Expect" in text
    assert study(file.stem).name == file.stem


def test_study_reads_back_from_json() -> None:
    import json

    demo = study("demo")
    assert Study.from_json(json.loads(json.dumps(demo.to_json()))) == demo


def test_equal_configurations_have_equal_ids() -> None:
    """Else a study edited from 1 to 1.0 would be trained again, under names that its report does not know."""
    demo = study("demo")
    whole = dataclasses.replace(demo, fractions=(1,), recipe=dataclasses.replace(demo.recipe, batch=16.0))  # type: ignore[arg-type]
    decimal = dataclasses.replace(demo, fractions=(1.0,), recipe=dataclasses.replace(demo.recipe, batch=16))
    assert [run.run_id for run in whole.runs()] == [run.run_id for run in decimal.runs()]
    assert RunConfig("glas", recipe=Recipe(ModelConfig(width=1))).run_id == RunConfig("glas").run_id


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Recipe(budgets=4000), "budgets"),  # type: ignore[arg-type]
        (lambda: Recipe(budgets=(0.5,)), "budgets"),  # type: ignore[arg-type]
        (lambda: Recipe(batch=2.5), "batch"),  # type: ignore[arg-type]
        (lambda: Recipe(learning_rate=math.nan), "learning_rate"),
        (lambda: ModelConfig(depth="50"), "depth"),  # type: ignore[arg-type]
        (lambda: ModelConfig(width=math.inf), "width"),
        (lambda: RunConfig("glas", fraction=None), "fraction"),  # type: ignore[arg-type]
        (lambda: RunConfig("glas", repeat=2**63), "repeat"),  # which no table holds
        (lambda: RunConfig("glas", fraction=10**400), "fraction"),
        (lambda: dataclasses.replace(study("demo"), fractions=0.5), "fractions"),
    ],
)
def test_values_of_another_kind_are_refused_by_name(make: Callable[[], object], named: str) -> None:
    with pytest.raises(UsageError, match=rf"bad value for {named}\n.*found.*\n.*expected: .*number"):
        make()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Recipe(rotate="no"), "rotate"),  # type: ignore[arg-type]
        (lambda: Recipe(rotate=None), "rotate"),  # type: ignore[arg-type]
        (lambda: Recipe(rotate=np.bool_(True)), "rotate"),  # type: ignore[arg-type]
        (lambda: Recipe(model=None), "model"),  # type: ignore[arg-type]
        (lambda: RunConfig("glas", recipe="x"), "recipe"),  # type: ignore[arg-type]
        (lambda: TrainedWeights("own", None), "run"),  # type: ignore[arg-type]
        (lambda: dataclasses.replace(study("demo"), recipe=None), "recipe"),  # type: ignore[arg-type]
        (lambda: dataclasses.replace(study("demo"), title=b"x"), "title"),  # type: ignore[arg-type]
        (lambda: dataclasses.replace(study("demo"), title=None), "title"),  # type: ignore[arg-type]
        (lambda: dataclasses.replace(study("demo"), title="\udcff"), "title"),
        (lambda: dataclasses.replace(study("demo"), task=3), "task"),  # type: ignore[arg-type]
    ],
)
def test_values_of_another_type_are_refused_by_name(make: Callable[[], object], named: str) -> None:
    with pytest.raises(UsageError, match=rf"bad value for {named}\n.*found.*\n.*expected: (a |True or False)"):
        make()


@pytest.mark.parametrize(
    ("named", "value"),
    [
        ("weights", "random"),
        ("datasets", ("glas")),
        ("datasets", ("glas", 3)),
        ("test_datasets", "crag"),
        ("trained_weights", study("demo").trained_weights[0]),
    ],
)
def test_one_value_where_several_are_wanted_is_refused_by_name(named: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"bad value for {named}\n(.|\n)*expected: values in brackets with a comma"):
        dataclasses.replace(study("demo"), **{named: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ModelConfig(depth=20), "depth"),
        (lambda: ModelConfig(width=0), "width"),
        (lambda: ModelConfig(width=1 / 100), "width"),
        (lambda: ModelConfig(decoder=(64, 32, 16, 8)), "decoder"),
        (lambda: ModelConfig(decoder=(64, 32, 16, 8, 0)), "decoder"),
        (lambda: ModelConfig(classes=0), "classes"),
        (lambda: Recipe(crop=0), "crop"),
        (lambda: Recipe(crop=64, stride=65), "stride"),
        (lambda: Recipe(stride=0), "stride"),
        (lambda: Recipe(batch=0), "batch"),
        (lambda: Recipe(learning_rate=0), "learning_rate"),
        (lambda: Recipe(learning_rate=1), "learning_rate"),
        (lambda: Recipe(budgets=()), "budgets"),
        (lambda: Recipe(budgets=(0, 10)), "budgets"),
        (lambda: Recipe(budgets=(10, 10)), "budgets"),
        (lambda: Recipe(validate_every=0), "validate_every"),
        (lambda: Recipe(validate_gap=0), "validate_gap"),
        (lambda: Recipe(validation_share=0), "validation_share"),
        (lambda: Recipe(validation_share=1), "validation_share"),
        (lambda: Recipe(compute_dtype="float16"), "compute_dtype"),  # type: ignore[arg-type]
        (lambda: RunConfig("glas", fraction=0), "fraction"),
        (lambda: RunConfig("glas", fraction=1.5), "fraction"),
        (lambda: RunConfig("glas", repeat=-1), "repeat"),
        (lambda: dataclasses.replace(study("demo"), datasets=()), "datasets"),
        (lambda: dataclasses.replace(study("demo"), weights=("random", "random")), "weights"),
        (lambda: dataclasses.replace(study("demo"), fractions=(0.5, 0.5)), "fractions"),
        (lambda: dataclasses.replace(study("demo"), fractions=(1.0, 0.5)), "fractions"),
        (lambda: dataclasses.replace(study("demo"), repeats=0), "repeats"),
        (lambda: dataclasses.replace(study("demo"), match="images"), "match"),  # type: ignore[arg-type]
    ],
)
def test_values_out_of_range_are_refused_by_name(make: Callable[[], object], named: str) -> None:
    with pytest.raises(UsageError, match=rf"bad value for {named}\n.*found.*\n.*expected"):
        make()


def test_budgets_lengthen_with_fewer_images_where_steps_are_matched() -> None:
    recipe = Recipe(budgets=(1, 10))
    own = dataclasses.replace(study("demo"), fractions=(0.3, 1.0), recipe=recipe, match="steps")
    assert {run.fraction: run.recipe.budgets for run in own.runs()} == {0.3: (4, 34), 1.0: (1, 10)}  # never fewer
    assert {run.recipe for run in dataclasses.replace(own, match="epochs").runs()} == {recipe}


def test_options_tell_where_files_lie_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for data, weights, expected in (("", "", ("data", "weights")), ("/d", "w", ("/d", "w"))):
        monkeypatch.setenv("JAXSEG_DATA", data)
        monkeypatch.setenv("JAXSEG_WEIGHTS", weights)
        assert Locations.choose(None, None) == Locations(tmp_path / expected[0], tmp_path / expected[1])
    assert Locations.choose(Path("own"), Path("/o")) == Locations(tmp_path / "own", Path("/o"))


def test_square_brackets_will_do() -> None:
    demo = study("demo")
    assert dataclasses.replace(demo, datasets=list(demo.datasets), weights=list(demo.weights)) == demo  # type: ignore[arg-type]


def test_names_that_cannot_be_used() -> None:
    with pytest.raises(UsageError, match=r"'Mein Labor, 2'(.|\n)*such as mein_labor_2$"):
        RunConfig("Mein Labor, 2")
    with pytest.raises(UsageError, match=r"remedy: +choose another one$"):
        RunConfig("日本")
    with pytest.raises(UsageError, match=r"not a usable name of dataset\n.*\('glas',\)"):
        RunConfig(("glas",))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"stands for weights that are drawn\n.*random"):
        dataclasses.replace(study("demo").trained_weights[0], name="random")


def test_runs_are_tested_where_they_are_compared() -> None:
    own = dataclasses.replace(study("demo"), datasets=("glas",), test_datasets=("crag",))
    assert own.tested_on == ("glas", "crag")
    assert dataclasses.replace(own, test_datasets=("crag", "glas")).tested_on == ("glas", "crag")


def test_a_bad_value_in_a_configuration_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("from jaxseg.config import Recipe\n\ndef get_study():\n    return Recipe(crop=100)\n")
    with pytest.raises(UsageError, match=r"own\.py: bad value for crop\n.*100\n.*multiple of 32.*\n.*remedy"):
        load_study(file)


def test_an_error_in_a_configuration_file_tells_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.py"
    file.write_text("from jaxseg.config import Recipe\n\ndef get_study():\n    return Recipe(batchsize=4)\n")
    monkeypatch.chdir(tmp_path)
    for path in (file, Path("own.py")):
        with pytest.raises(UsageError, match=r"own\.py: cannot be loaded, line 4: TypeError\(.*'batchsize'"):
            load_study(path)


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)\n", "def get_study():\n    raise SystemExit\n"])
def test_a_configuration_file_does_not_end_the_command(tmp_path: Path, code: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(code)
    with pytest.raises(UsageError, match=r"own\.py: cannot be loaded, line \d: SystemExit"):
        load_study(file)
