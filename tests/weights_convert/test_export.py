"""A trained run back to PyTorch: strict loading, the same logits, the same bits."""

import json
from pathlib import Path
from typing import Any

import fabricated
import jax
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch_unet import TorchUNet

from jaxseg import arrays
from jaxseg.config import ModelConfig, Recipe, RunConfig
from jaxseg.errors import InputError, UsageError
from jaxseg.files import write_json
from jaxseg.models.unet import decoder_channels, network
from jaxseg.run_folder import RunFolder
from weights_convert import export as module
from weights_convert import forward
from weights_convert.export import export
from weights_convert.mapping import UNET, to_flax

MODEL = ModelConfig(18, fabricated.NARROW / 64)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder, as training leaves it, with a made-up best model."""
    config = RunConfig("glas", recipe=Recipe(model=MODEL, budgets=(2, 5)))
    folder = RunFolder.of(tmp_path, config)
    folder.create(config)
    write_json(folder.weights, {"name": "random", "mean": [0.5] * 3, "std": [0.2] * 3, "licence": None})
    for name, seed in (("best", 1), ("epochs-000002", 2)):
        shapes = network(MODEL)
        state = {key: x.numpy() for key, x in fabricated.unet(seed=seed).items()}
        tree = to_flax(state, {"params": shapes.params, "stats": shapes.stats}, UNET, tmp_path).tree
        arrays.save(folder.checkpoints / name, tree)
    return folder.path


def load(file: Path) -> dict[str, torch.Tensor]:
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_exports_load_strictly_and_predict_the_same(suffix: str, run: Path, tmp_path: Path) -> None:
    file = tmp_path / f"model{suffix}"
    exported = export(run, file)
    assert exported.difference <= 1e-4
    model = TorchUNet(MODEL.depth, fabricated.NARROW, decoder_channels(MODEL)).eval()
    model.load_state_dict(load(file), strict=True)
    images = np.random.default_rng(0).standard_normal((2, 64, 96, 3)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(images).permute(0, 3, 1, 2))[0].permute(0, 2, 3, 1).numpy()
    tree, _ = arrays.load(run / "checkpoints" / "best")
    assert comparison(forward.unet(MODEL, tree, images), expected) <= 1e-4
    about = json.loads((tmp_path / f"model{suffix}.json").read_text())
    assert about["weights"]["mean"] == [0.5] * 3
    assert about["run"] == run.name
    assert (about["depth"], about["width"], about["classes"]) == (18, MODEL.width, 1)
    assert about["decoder"] == [16, 8, 8, 8, 8]


def comparison(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_a_round_trip_keeps_every_bit(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "model.pth")
    shapes = network(MODEL)
    state = {name: x.numpy() for name, x in load(tmp_path / "model.pth").items()}
    again = to_flax(state, {"params": shapes.params, "stats": shapes.stats}, UNET, tmp_path).tree
    kept, _ = arrays.load(run / "checkpoints" / "best")
    jax.tree.map(np.testing.assert_array_equal, again, kept)
    original = fabricated.unet(seed=1)
    assert all(
        torch.equal(state_x, original[name])
        for name, state_x in load(tmp_path / "model.pth").items()
        if not name.endswith("num_batches_tracked")
    )


def test_a_budget_is_exported(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "early.pt", budget=2)
    expected = fabricated.unet(seed=2)["encoder.conv1.weight"]
    assert torch.equal(load(tmp_path / "early.pt")["encoder.conv1.weight"], expected)
    export(run, tmp_path / "last.pt", budget=5)
    best = fabricated.unet(seed=1)["encoder.conv1.weight"]
    assert torch.equal(load(tmp_path / "last.pt")["encoder.conv1.weight"], best)
    with pytest.raises(UsageError, match=r"found:    3(.|\n)*\(2, 5\)"):
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


def test_an_export_that_disagrees_is_not_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = module.parse

    def damaged(content: bytes, suffix: str) -> Any:
        return {
            name: x * (2 if name == "segmentation_head.0.weight" else 1) for name, x in sound(content, suffix).items()
        }

    monkeypatch.setattr(module, "parse", damaged)
    with pytest.raises(InputError, match="logits"):
        export(run, tmp_path / "model.pth")
    assert not list(tmp_path.glob("model*"))


def test_wrong_use(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.onnx"):
        export(run, tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        export(tmp_path / "none", tmp_path / "model.pth")
