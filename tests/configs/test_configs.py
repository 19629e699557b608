"""The studies that come with the project: how many runs, and what the paper fixes."""

from pathlib import Path

import pytest

from jaxseg.config import RANDOM, ModelConfig, Study, load_study

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
    assert len(demo.runs()) == 16
    assert (len(demo.weights), len(demo.fractions), demo.repeats, len(demo.datasets)) == (2, 2, 2, 2)
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
