"""A trained run back to PyTorch and onward: strict loading, the same logits, the same bits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fabricated
import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file
from torch_unet import TorchUNet

from jaxseg.config import ModelConfig, Recipe, RunConfig
from jaxseg.errors import InputError, UsageError
from jaxseg.files import write_json
from jaxseg.models.architecture import decoder_channels
from jaxseg.models.unet import network
from jaxseg.run_folder import RunFolder
from jaxseg.storage import arrays
from weights_convert import forward, onnx_graph, state_dict
from weights_convert.export import export
from weights_convert.mapping import UNET, to_flax

WIDTH = fabricated.NARROW / 64
MODELS = [ModelConfig(18, WIDTH), ModelConfig(50, WIDTH, classes=2)]
BUDGETS = (2, 5)
FORMATS = (".pth", ".safetensors", ".onnx")


def trained(model: ModelConfig, seed: int) -> fabricated.State:
    """What a model of that configuration might have learned, by PyTorch's names."""
    module = TorchUNet(model.depth, fabricated.NARROW, decoder_channels(model.decoder, model.width), model.classes)
    return dict(fabricated.randomised(module, seed).state_dict())


def to_tree(state: fabricated.State, model: ModelConfig) -> Any:
    shapes = network(model)
    like = {"params": shapes.params, "stats": shapes.stats}
    return to_flax({name: x.numpy() for name, x in state.items()}, like, UNET, Path("made up")).tree


def write_run(study: Path, model: ModelConfig) -> Path:
    """A run's folder, as training leaves it, with a made-up best model."""
    config = RunConfig("glas", recipe=Recipe(model=model, budgets=BUDGETS))
    folder = RunFolder.of(study, config)
    folder.create(config)
    write_json(folder.weights, {"name": "random", "mean": [0.5] * 3, "std": [0.2] * 3, "licence": None})
    for name, seed in (("best", 1), ("epochs-000002", 2)):
        arrays.save(folder.checkpoints / name, to_tree(trained(model, seed), model))
    return folder.path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path, MODELS[0])


def load(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".onnx":
        initialisers = onnx.load(file).graph.initializer
        return {x.name: torch.tensor(numpy_helper.to_array(x)) for x in initialisers if x.name != "scales"}
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)


def predict(file: Path, model: ModelConfig, images: np.ndarray) -> np.ndarray:
    """Logits (B, H, W, classes) by the framework that the file is for, called as its users call it."""
    inputs = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if file.suffix == ".onnx":
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return session.run(["logits"], {"images": inputs})[0].transpose(0, 2, 3, 1)
    module = TorchUNet(
        model.depth, fabricated.NARROW, decoder_channels(model.decoder, model.width), model.classes
    ).eval()
    module.load_state_dict(load(file), strict=True)
    with torch.no_grad():
        return module(torch.from_numpy(inputs))[0].permute(0, 2, 3, 1).numpy()


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"ResNet{model.depth}")
def test_exports_predict_the_same_at_other_extents(model: ModelConfig, tmp_path: Path) -> None:
    run = write_run(tmp_path, model)
    images = np.random.default_rng(0).standard_normal((2, 64, 96, 3)).astype(np.float32)
    expected = forward.unet(model, to_tree(trained(model, 1), model), images)
    for suffix in FORMATS:
        exported = export(run, tmp_path / f"model{suffix}")
        assert exported.difference <= 1e-4
        assert difference(predict(exported.file, model, images), expected) <= 1e-4, suffix
        about = json.loads((tmp_path / f"model{suffix}.json").read_text())
        assert about["weights"]["mean"] == [0.5] * 3
        assert about["run"] == run.name
        assert about["compared_with"] == ("onnxruntime" if suffix == ".onnx" else "PyTorch")
        assert about["largest_relative_difference_of_logits"] == exported.difference
        assert (about["depth"], about["width"], about["classes"]) == (model.depth, model.width, model.classes)
        assert tuple(about["decoder"]) == decoder_channels(model.decoder, model.width)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_round_trip_keeps_every_bit(suffix: str, run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / f"model{suffix}")
    state = load(tmp_path / f"model{suffix}")
    kept, _ = arrays.load(run / "checkpoints" / "best")
    assert arrays.digest(to_tree(state, MODELS[0])) == arrays.digest(kept)
    original = trained(MODELS[0], 1)
    counters = {name for name in original if name.endswith("num_batches_tracked")}
    assert state.keys() == original.keys() - (counters if suffix == ".onnx" else set())
    for name in state.keys() - counters:
        assert state[name].numpy().tobytes() == original[name].numpy().tobytes(), name


def test_the_onnx_graph_is_the_architecture_and_says_what_it_is(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    assert (model.ir_version, model.opset_import[0].version) == (8, 17), "runtimes of 2022 read no later ones"
    (images,), (logits,) = model.graph.input, model.graph.output
    extents = [[axis.dim_param or axis.dim_value for axis in x.type.tensor_type.shape.dim] for x in (images, logits)]
    assert extents == [["batch", 3, "height", "width"], ["batch", 1, "height", "width"]]
    kinds = [node.op_type for node in model.graph.node]
    state = trained(MODELS[0], 1)
    assert kinds.count("BatchNormalization") == sum(name.endswith("running_var") for name in state)
    assert kinds.count("Conv") == sum(x.ndim == 4 for x in state.values())
    assert (kinds.count("Resize"), kinds.count("Concat"), kinds.count("MaxPool")) == (5, 4, 1)
    said = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert said["run"] == run.name
    assert said["weights"]["std"] == [0.2] * 3


def test_a_budget_is_exported(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "early.pt", budget=2)
    expected = trained(MODELS[0], 2)["encoder.conv1.weight"]
    assert torch.equal(load(tmp_path / "early.pt")["encoder.conv1.weight"], expected)
    export(run, tmp_path / "last.pt", budget=5)
    best = trained(MODELS[0], 1)["encoder.conv1.weight"]
    assert torch.equal(load(tmp_path / "last.pt")["encoder.conv1.weight"], best)
    export(run, tmp_path / "whole.pt")
    said = [json.loads((tmp_path / f"{name}.pt.json").read_text())["budget"] for name in ("early", "last", "whole")]
    assert said == [2, 5, 5]
    with pytest.raises(UsageError, match=r"found:    3\n +expected: 2 or 5"):
        export(run, tmp_path / "none.pt", budget=3)


def test_the_exports_encoder_can_be_converted(run: Path, tmp_path: Path) -> None:
    from weights_convert.convert import Origin, convert

    export(run, tmp_path / "model.safetensors")
    folder = convert(
        tmp_path / "model.safetensors", tmp_path / "weights", Origin(mean=(0.5,) * 3, std=(0.2,) * 3), "from_glas"
    )
    kept, _ = arrays.load(run / "checkpoints" / "best")
    taken, _ = arrays.load(folder / "arrays")
    jax.tree.map(np.testing.assert_array_equal, taken["params"], kept["params"]["encoder"])


@pytest.mark.parametrize(
    ("writer", "suffix", "judge"), [(state_dict, ".pth", "PyTorch"), (onnx_graph, ".onnx", "onnxruntime")]
)
def test_an_export_that_disagrees_is_not_kept(
    writer: Any, suffix: str, judge: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = writer.serialise

    def damaged(tensors: Any, *arguments: Any) -> bytes:
        name = "segmentation_head.0.weight"
        return sound(tensors | {name: tensors[name] * np.float32(1.01)}, *arguments)

    monkeypatch.setattr(writer, "serialise", damaged)
    with pytest.raises(InputError, match=rf"what {judge} computes(.|\n)*logits"):
        export(run, tmp_path / f"model{suffix}")
    assert not list(tmp_path.glob("*model*"))


def test_wrong_use(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"\.h5(.|\n)*\.onnx"):
        export(run, tmp_path / "model.h5")
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        export(tmp_path / "none", tmp_path / "model.pth")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"onnxruntime are needed(.|\n)*\[convert\]"):
        export(run, tmp_path / "model.onnx")


def test_onnx_needs_no_pytorch(run: Path, tmp_path: Path) -> None:
    program = "import sys; from weights_convert.cli import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    arguments = ["export", str(run), "--out", str(tmp_path / "model.onnx")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime's logits differ by" in done.stdout
