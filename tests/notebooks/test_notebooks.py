"""Every notebook runs from top to bottom on a machine without a GPU, on a run that was trained a moment before."""

import base64
import io
import json
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from jaxseg import datasets
from jaxseg.config import ModelConfig, Recipe, RunConfig
from jaxseg.execution.complete import complete
from jaxseg.run_folder import RunFolder

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NOTEBOOK = NOTEBOOKS / "analyse_a_run.ipynb"
SITES = ("synthetic_glands_a", "synthetic_glands_b")
PICTURES = {  # what a cell's source holds -> pixels that its picture has at least, in both directions
    "model.probabilities([image])": 300,
    'chosen = ["encoder/stem"': 500,
    "embed(vectors[layer]": 300,
    "folder.read_log()": 300,
    "sns.stripplot": 200,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Path]:
    """A finished run of a very narrow network, and the data it was trained on."""
    home = tmp_path_factory.mktemp("notebooks")
    for site in SITES:
        datasets.prepare(site, home / "data")
    recipe = Recipe(ModelConfig(18, 1 / 16), crop=64, stride=32, batch=4, learning_rate=1e-3, budgets=(2, 4))
    run = RunConfig(SITES[0], recipe=recipe)
    folder = RunFolder.of(home, run)
    complete(folder, run, SITES, home / "data", home / "weights")
    return folder, home / "data"


def execute(notebook_folder: Path, home: Path, variables: dict[str, str]) -> nbformat.NotebookNode:
    """Run the notebook by this interpreter, whatever kernels the machine has."""
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "this", "language": "python", "env": {"JAX_PLATFORMS": "cpu", **variables}}
    file = home / "kernels" / "this" / "kernel.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(spec))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(notebook_folder)}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(home))
        patch.setenv("IPYTHONDIR", str(home / "ipython"))
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="this", resources=resources).execute()
    return notebook


@pytest.fixture(scope="module")
def executed(trained: tuple[RunFolder, Path], tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    folder, data = trained
    variables = {"JAXSEG_RUN": str(folder.path), "JAXSEG_DATA": str(data)}
    return execute(NOTEBOOKS, tmp_path_factory.mktemp("kernel"), variables)


def outputs(notebook: nbformat.NotebookNode, part: str) -> list[nbformat.NotebookNode]:
    """Outputs of the one cell whose source holds `part`."""
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and part in cell.source]
    return cell.outputs


def picture(notebook: nbformat.NotebookNode, part: str) -> np.ndarray:
    [png] = [output.data["image/png"] for output in outputs(notebook, part) if "image/png" in output.get("data", {})]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


def test_the_notebook_shows_predictions_features_map_training_and_scores(executed: nbformat.NotebookNode) -> None:
    for part, least in PICTURES.items():
        drawn = picture(executed, part)
        assert min(drawn.shape[:2]) >= least, part
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100, f"{part}: an empty picture"


def test_the_notebook_names_the_run_and_warns_of_nothing(executed: nbformat.NotebookNode) -> None:
    told = "".join(output.text for cell in executed.cells for output in cell.get("outputs", ()) if "text" in output)
    assert f"{SITES[0]} (100 % of the training images, repeat 0)" in told
    assert "Warning" not in told


def test_the_notebook_names_the_layers_and_their_shapes(executed: nbformat.NotebookNode) -> None:
    [table] = outputs(executed, 'columns=["layer"')
    lines = [line.split() for line in table.data["text/plain"].split("\n")[2:]]
    shapes = {name: tuple(map(int, shape)) for name, *shape in lines}
    assert next(iter(shapes)) == "encoder/stem"
    assert list(shapes)[-1] == "decoder/block5"
    assert len(shapes) == 10
    assert shapes["encoder/stem"] == (32, 32, 4)  # half of a crop of 64; 64 channels / 16
    assert shapes["encoder/stage4"] == (2, 2, 32)
    assert shapes["decoder/block5"] == (64, 64, 8)


def test_without_a_run_the_notebook_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="set JAXSEG_RUN to the folder of a run"):
        execute(tmp_path, tmp_path, {"JAXSEG_RUN": ""})


def test_the_notebook_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
