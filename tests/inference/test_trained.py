"""A run opened as a model: what it returns, what it refuses, and its encoder as initial weights."""

import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jaxseg
from jaxseg.config import RunConfig
from jaxseg.errors import InputError, UsageError
from jaxseg.files import write_json
from jaxseg.inference.sliding_window import for_inference
from jaxseg.inference.trained import keep_encoder
from jaxseg.models import encoder_weights, golden
from jaxseg.models.unet import FEATURES, network
from jaxseg.run_folder import RunFolder
from jaxseg.storage import arrays


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


def test_logits_and_named_features(finished: RunFolder, image: np.ndarray) -> None:
    model = jaxseg.load(finished.path)
    logits, features = model(image[None, :64, :64])
    assert logits.shape == (1, 64, 64, 1)
    shapes = {name: feature.shape[1:3] for name, feature in features.items()}
    assert list(features) == list(FEATURES)
    assert shapes == {
        "encoder/stem": (32, 32),
        "encoder/stage1": (16, 16),
        "encoder/stage2": (8, 8),
        "encoder/stage3": (4, 4),
        "encoder/stage4": (2, 2),
        "decoder/block1": (4, 4),
        "decoder/block2": (8, 8),
        "decoder/block3": (16, 16),
        "decoder/block4": (32, 32),
        "decoder/block5": (64, 64),
    }


def test_a_window_of_its_own_size_is_the_sigmoid_of_the_logits(finished: RunFolder, image: np.ndarray) -> None:
    model = jaxseg.load(str(finished.path))
    logits, _ = model(image[None, :64, :64])
    (probability,) = model.predict([image[:64, :64]])
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits[0, ..., 0])), atol=1e-5)


@pytest.fixture
def of_other_weights(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """As if the run had started from weights with statistics and terms of their own."""
    copy = RunFolder(tmp_path / "of_other_weights")
    shutil.copytree(finished.path, copy.path)
    terms = {"licence": "CC BY-NC 4.0", "citation": "Somebody, 2021"}
    write_json(copy.weights, copy.read_weights() | {"mean": [0.7, 0.5, 0.6], "std": [0.25, 0.2, 0.3]} | terms)
    return copy


def test_images_are_normalised_as_the_initial_weights_want_it(of_other_weights: RunFolder, image: np.ndarray) -> None:
    model = jaxseg.load(of_other_weights.path)
    inputs = ((image[None, :64, :64] / 255 - [0.7, 0.5, 0.6]) / [0.25, 0.2, 0.3]).astype(np.float32)
    net = network(model.run.recipe.model)
    (expected, _), _ = net.apply(model.params, model.stats, inputs, train=False)
    logits, _ = model(image[None, :64, :64])
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    (probability,) = model.predict([image[:64, :64]])
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-expected[0, ..., 0])), atol=1e-5)


def test_parameters_go_to_the_device_once(
    finished: RunFolder, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(*arguments: Any) -> Any:
        made.append(1)
        return for_inference(*arguments)

    monkeypatch.setattr("jaxseg.inference.trained.for_inference", counted)
    model = jaxseg.load(finished.path)
    first, second = (model.predict([image]) for _ in range(2))
    assert first[0].flags.writeable
    assert first[0].base is None or first[0].base.size == first[0].size, "one image must not hold all"
    assert made == [1]
    np.testing.assert_array_equal(first, second)


def test_budgets_are_different_models(finished: RunFolder) -> None:
    assert jaxseg.load(finished.path, budget=1).about["epochs"] == 1
    assert jaxseg.load(finished.path).about["epochs"] == 2
    with pytest.raises(UsageError, match="expected: 1 or 2"):
        jaxseg.load(finished.path, budget=7)


def test_a_model_that_was_lost_or_damaged_is_made_anew_with_its_run(finished: RunFolder, tmp_path: Path) -> None:
    remedy = r"(.|\n)*delete .*copy and repeat the command that made it"
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(finished.path, copy.path)
    manifest = copy.checkpoints / "best" / arrays.MANIFEST
    manifest.write_text(manifest.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(InputError, match="is damaged" + remedy):
        jaxseg.load(copy.path)
    for name in ("DONE.json", "checkpoints/epochs-000001"):
        shutil.move(copy.path / name, tmp_path)
    with pytest.raises(InputError, match="has lost its checkpoint 'epochs-000001'" + remedy):
        jaxseg.load(copy.path, budget=1)  # the best is there, so the training has ended
    shutil.move(tmp_path / "DONE.json", copy.path)
    shutil.rmtree(copy.checkpoints / "best")
    with pytest.raises(InputError, match="has lost its checkpoint 'best'" + remedy):
        jaxseg.load(copy.path)
    copy.done.unlink()
    with pytest.raises(InputError, match="has no checkpoint 'epochs-000001' yet"):
        jaxseg.load(copy.path, budget=1)
    with pytest.raises(InputError, match="has no checkpoint 'best' yet"):
        jaxseg.load(copy.path)


def test_what_is_refused(finished: RunFolder, image: np.ndarray, tmp_path: Path) -> None:
    model = jaxseg.load(finished.path)
    with pytest.raises(UsageError, match="multiples of 32"):
        model(image[None])
    with pytest.raises(UsageError, match="uint8"):
        model.predict([image.astype(np.float32)])
    for stride in (0, model.run.recipe.crop + 1, 16.5, "16"):
        with pytest.raises(UsageError, match=rf"stride\D+{stride}"):
            model.predict([image], stride)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"config\.json"):
        jaxseg.load(tmp_path)
    with pytest.raises(UsageError, match="no such epoch budget") as refused:
        jaxseg.load(finished.path, budget=77)
    assert "(" not in str(refused.value.expected)


@pytest.mark.parametrize("given", ["tile.png", Path("tile.png"), [[0]]])
def test_what_is_no_array_is_told_so(given: Any, finished: RunFolder) -> None:
    model = jaxseg.load(finished.path)
    with pytest.raises(UsageError, match="is no array"):
        model.predict([given])
    with pytest.raises(UsageError, match="are no array"):
        model([given])


def test_a_batch_of_another_range_is_refused_rather_than_taken_for_black(
    finished: RunFolder, image: np.ndarray
) -> None:
    model, batch = jaxseg.load(finished.path), image[None, :64, :64]
    of_floats, _ = model(batch.astype(np.float32))
    np.testing.assert_allclose(of_floats, model(batch)[0], rtol=1e-4, atol=1e-5)
    of_half, _ = model(batch.astype(jnp.bfloat16))  # which holds whole numbers up to 256
    np.testing.assert_allclose(of_half, of_floats, rtol=1e-4, atol=1e-5)
    for unfit in (batch / 255, batch * np.nan, batch - 300.0, 257 * batch.astype(np.uint16)):
        with pytest.raises(UsageError, match="type or range"):
            model(unfit)
    for empty in (batch[:0], batch[:, :0]):
        with pytest.raises(UsageError, match="unfit shape"):
            model(empty)


def test_windows_lie_as_the_recipe_says_unless_told_otherwise(finished: RunFolder) -> None:
    model, wide = jaxseg.load(finished.path), np.random.default_rng(0).integers(0, 256, (64, 160, 3), dtype=np.uint8)
    (usual,), (half,), (apart,) = (model.predict([wide], stride) for stride in (None, 32, 64))
    np.testing.assert_array_equal(usual, half)
    assert not np.allclose(usual, apart)


def test_images_of_one_size_may_come_in_one_array(finished: RunFolder, image: np.ndarray) -> None:
    model = jaxseg.load(finished.path)
    for alone, together in zip(model.predict([image, image]), model.predict(np.stack([image, image])), strict=True):
        np.testing.assert_array_equal(alone, together)


def test_a_model_is_shown_without_its_numbers(finished: RunFolder) -> None:
    assert "array(" not in repr(jaxseg.load(finished.path))


def test_a_damaged_checkpoint_is_refused(finished: RunFolder, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished.path, copy)
    files = [file for file in (copy / "checkpoints/best").rglob("*") if file.is_file()]
    largest = max(files, key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(InputError, match="best"):
        jaxseg.load(copy)


def test_the_encoder_becomes_initial_weights(finished: RunFolder, run: RunConfig, tmp_path: Path) -> None:
    keep_encoder(finished, "nuclei", tmp_path)
    weights = encoder_weights.read(tmp_path, "nuclei", run.recipe.model)
    assert arrays.digest(weights.params) == arrays.digest(jaxseg.load(finished.path).params["encoder"])
    assert run.run_id in weights.receipt.source
    assert arrays.digest(weights.stats) == arrays.digest(jaxseg.load(finished.path).stats["encoder"])
    tree = weights.tree()
    assert golden.activations(run.recipe.model.depth, run.recipe.model.width, tree) == weights.receipt.golden


def test_the_encoder_keeps_statistics_and_terms_of_what_it_started_from(
    of_other_weights: RunFolder, run: RunConfig, tmp_path: Path
) -> None:
    keep_encoder(of_other_weights, "nuclei", tmp_path)
    receipt = encoder_weights.read(tmp_path, "nuclei", run.recipe.model).receipt
    assert (receipt.mean, receipt.std) == ((0.7, 0.5, 0.6), (0.25, 0.2, 0.3))
    assert (receipt.licence, receipt.citation) == ("CC BY-NC 4.0", "Somebody, 2021")
