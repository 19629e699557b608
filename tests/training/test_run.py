"""A run in its folder: the same bits twice, on one device or two, and after being stopped anywhere."""

import dataclasses
import errno
import gc
import itertools
import json
import math
import shutil
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from train import train_run

from jaxseg import datasets
from jaxseg.compute.program import Program
from jaxseg.config import RunConfig
from jaxseg.errors import InputError, StoppedError, UnreadableError, UsageError
from jaxseg.input.placement import Placement
from jaxseg.input.plan import CropPlan
from jaxseg.models.encoder_weights import EncoderWeights
from jaxseg.models.initial import initial
from jaxseg.models.receipt import Receipt
from jaxseg.models.unet import network
from jaxseg.run_folder import RunFolder
from jaxseg.storage import arrays
from jaxseg.training import loop, validation
from jaxseg.training.checkpoints import Checkpoints
from jaxseg.training.run import TrainOptions
from jaxseg.training.setup import Setup


def trained(folder: Path, run: RunConfig, data_dir: Path, **options: object) -> RunFolder:
    place = RunFolder(folder)
    train_run(place, run, data_dir, folder, options=TrainOptions(**options))  # type: ignore[arg-type]
    return place


def best(place: RunFolder) -> str:
    tree, _ = arrays.load(place.checkpoints / "best")
    return arrays.digest(tree)


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(10**6))
    return lambda: next(asked) + 1 >= steps


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, run: RunConfig, data_dir: Path) -> RunFolder:
    """The run, trained at one go."""
    return trained(tmp_path_factory.mktemp("uninterrupted"), run, data_dir)


def test_run_twice_gives_the_same_bits(
    tmp_path: Path, run: RunConfig, data_dir: Path, uninterrupted: RunFolder
) -> None:
    first, second = uninterrupted, trained(tmp_path, run, data_dir)
    assert best(first) == best(second)
    steps = [[(line["step"], line["validation_loss"]) for line in place.read_log()] for place in (first, second)]
    assert steps[0] == steps[1]


def test_steps_and_measurements_are_handed_over_one_at_a_time(
    tmp_path: Path, run: RunConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # or a CPU carries out several at once, each with memory of its own
    seen: list[str] = []

    def waited_for(result: Any, pause: float) -> Any:
        seen.append(f"wait for {type(result).__name__}")
        return result

    def called(program: Program[Any, Any], *arguments: Any) -> Any:
        seen.append(program.jitted.__name__)
        return original(program, *arguments)

    original = Program.__call__
    monkeypatch.setattr(Program, "__call__", called)
    for module in (loop, validation):
        monkeypatch.setattr(module, "one_at_a_time", waited_for)
    trained(tmp_path, run, data_dir)
    assert seen.count("train") > 2
    assert seen.count("measure") > 1
    for event, after in itertools.pairwise(seen):
        assert event != "measure" or after == "wait for LossSums"
        assert after != "train" or event in ("wait for NoneType", "wait for ArrayImpl")


def test_a_run_leaves_no_arrays_to_the_collector(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    # which looks so rarely (jaxseg/execution/start.py) that a warm worker would fill the memory
    trained(tmp_path / "first", run, data_dir)
    gc.collect()
    gc.disable()
    try:
        trained(tmp_path / "warm", run, data_dir)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        held = {
            id(value): value for value in gc.get_referents(*gc.garbage) if isinstance(value, np.ndarray | jax.Array)
        }
        assert sum(array.nbytes for array in held.values()) < 10_000
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_two_devices_give_the_losses_of_one(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    # at larger steps ReLU's corner enlarges what rounding changed (docs/speed.md)
    gentle = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, learning_rate=1e-5))
    one = trained(tmp_path / "one", gentle, data_dir, devices=1)
    two = trained(tmp_path / "two", gentle, data_dir, devices=2)
    losses = [[(line["training_loss"], line["validation_loss"]) for line in place.read_log()] for place in (one, two)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_the_stack_on_the_host_gives_the_same_run(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    device = trained(tmp_path / "device", run, data_dir, stack="device", devices=1)
    host = trained(tmp_path / "host", run, data_dir, stack="host", devices=1)
    losses = [[line["validation_loss"] for line in place.read_log()] for place in (device, host)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_stopped_and_resumed_gives_the_same_bits(
    tmp_path: Path, run: RunConfig, data_dir: Path, uninterrupted: RunFolder
) -> None:
    whole, place = uninterrupted, RunFolder(tmp_path)
    for steps in (1, 1):
        with pytest.raises(StoppedError, match="resume"):
            train_run(place, run, data_dir, tmp_path, stop_after(steps))
    for left in (".latest-00000003.0a1b2c3d.part", ".latest-00000002.0a1b2c3d.former"):  # as after `kill -9`
        (place.checkpoints / left / "arrays").mkdir(parents=True)
    train_run(place, run, data_dir, tmp_path)
    assert not list(place.checkpoints.glob(".*"))
    assert best(place) == best(whole)
    logs = [[{**line, "seconds": 0, "images_per_second": 0} for line in p.read_log()] for p in (place, whole)]
    assert logs[0] == logs[1]


def longer(run: RunConfig) -> RunConfig:
    """11 steps, validated after 3 and 11; gentle, or ReLU's corner enlarges what rounding changed."""
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, learning_rate=1e-5, budgets=(2, 7)))


def test_several_steps_at_once_give_the_losses_of_single_ones(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    told: list[int] = []
    single = trained(tmp_path / "single", longer(run), data_dir, devices=1)
    several = trained(
        tmp_path / "several", longer(run), data_dir, dispatch=3, on_step=lambda step, total, line: told.append(step)
    )
    assert told == [3, 6, 9, 10, 11]
    losses = [[(line["training_loss"], line["validation_loss"]) for line in p.read_log()] for p in (single, several)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_stopped_between_dispatches_and_resumed_gives_the_same_bits(
    tmp_path: Path, run: RunConfig, data_dir: Path
) -> None:
    whole = trained(tmp_path / "whole", longer(run), data_dir, dispatch=3)
    place = RunFolder(tmp_path / "parts")
    for dispatches in (1, 2):
        with pytest.raises(StoppedError, match="resume"):
            train_run(place, longer(run), data_dir, tmp_path, stop_after(dispatches), TrainOptions(dispatch=3))
    train_run(place, longer(run), data_dir, tmp_path, options=TrainOptions(dispatch=3))
    assert best(place) == best(whole)


@pytest.mark.parametrize("rotate", [False, True])
def test_what_the_recipe_says_of_split_crops_and_rate_is_done(
    rotate: bool, tmp_path: Path, run: RunConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[Placement] = []
    placement = CropPlan.placement

    def noted(plan: CropPlan, position: int) -> Placement:
        placed.append(placement(plan, position))
        return placed[-1]

    monkeypatch.setattr(CropPlan, "placement", noted)
    recipe = dataclasses.replace(run.recipe, rotate=rotate, validation_share=0.5, learning_rate=0.003)
    place, changed = RunFolder(tmp_path), dataclasses.replace(run, fraction=1.0, recipe=recipe)
    with pytest.raises(StoppedError):
        train_run(place, changed, data_dir, tmp_path, stop_after(1))
    split = json.loads(place.split.read_text())
    assert len(split["validation"]) == len(split["train"])
    assert (set(np.unique([each.matrix for each in placed])) == {-1, 0, 1}) == (not rotate)
    tree, _ = arrays.load(place.checkpoints / "latest-00000001")
    before, _ = initial(recipe.model, None, (run.dataset, run.repeat))
    moved = [
        np.abs(one - other).max() for one, other in zip(*map(jax.tree.leaves, (tree["params"], before)), strict=True)
    ]
    assert max(moved) == pytest.approx(0.003, rel=1e-3)  # as the first step of Adam moves what has a gradient


def test_checkpoints_come_after_their_time_and_lines_tell_mean_loss_and_speed(
    tmp_path: Path, run: RunConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, losses, saved = time.perf_counter(), list[float](), list[str]()

    def told(step: int, total: int, line: object) -> None:
        saved.extend(folder.name for folder in place.checkpoints.glob("latest-*") if folder.name not in saved)

    def step(setup: Setup, *arguments: Any) -> Any:
        nonlocal now
        now += 100
        state, loss = original(setup, *arguments)
        losses.append(float(jax.device_get(loss)))
        return state, loss

    original, place = Setup.train, RunFolder(tmp_path)
    monkeypatch.setattr(Setup, "train", step)
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(perf_counter=lambda: now))
    trained(tmp_path, longer(run), data_dir, checkpoint_seconds=250.0, on_step=told)
    assert sorted(saved) == ["latest-00000003", "latest-00000006", "latest-00000009"]
    assert sorted(folder.name for folder in place.checkpoints.glob("latest-*")) == sorted(saved)[1:]
    first, last = place.read_log()
    assert first["training_loss"] == pytest.approx(np.mean(losses[:3]), rel=1e-5)
    assert last["training_loss"] == pytest.approx(np.mean(losses[3:]), rel=1e-5)
    assert last["images_per_second"] == run.recipe.batch / 100


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_that_diverges_ends_and_says_what_to_change(
    value: float, tmp_path: Path, run: RunConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "validate", lambda *_: (value, 0.5))
    with pytest.raises(UsageError, match=rf"diverged: the validation loss is {value} at step 2(.|\n)*learning_rate"):
        trained(tmp_path, run, data_dir)
    assert not list((tmp_path / "checkpoints").glob("best*"))


def test_crops_cut_on_the_host_go_step_by_step(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    told: list[int] = []
    options: dict[str, Any] = {"stack": "host", "devices": 1, "on_step": lambda step, total, line: told.append(step)}
    trained(tmp_path, run, data_dir, dispatch=3, **options)
    assert told == list(range(1, told[-1] + 1))


def test_a_transfer_that_nobody_asked_for_stops_the_loop(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    def look(step: int, total: int, line: object) -> None:
        jnp.sin(np.float32(step))

    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        trained(tmp_path, run, data_dir, on_step=look)


@pytest.mark.parametrize(
    ("damaged", "told"), [(1, ["the checkpoint before"]), (2, ["the checkpoint before", "beginning anew"])]
)
def test_damaged_checkpoints_are_set_aside(
    damaged: int, told: list[str], tmp_path: Path, run: RunConfig, data_dir: Path, uninterrupted: RunFolder
) -> None:
    place = RunFolder(tmp_path)
    for steps in (1, 1):
        with pytest.raises(StoppedError):
            train_run(place, run, data_dir, tmp_path, stop_after(steps))
    newest = sorted(place.checkpoints.glob("latest-*"), reverse=True)[:damaged]
    for folder in newest:
        flip_a_bit(max((file for file in folder.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size))
    said: list[str] = []
    train_run(place, run, data_dir, tmp_path, options=TrainOptions(say=said.append))
    for message, folder, further in zip(said, newest, told, strict=True):
        assert f"set aside as damaged-{folder.name}" in message
        assert message.endswith(further)
    assert best(place) == best(uninterrupted)
    Checkpoints(place.checkpoints).finish()
    assert sorted(folder.name for folder in place.checkpoints.iterdir()) == ["best", "epochs-000001"]


def test_checkpoints_that_cannot_be_read_now_are_left_where_they_are(
    tmp_path: Path, run: RunConfig, data_dir: Path, uninterrupted: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = RunFolder(tmp_path)
    with pytest.raises(StoppedError):
        train_run(place, run, data_dir, tmp_path, stop_after(1))
    before = sorted(place.checkpoints.iterdir())

    def read(folder: Path) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr("jaxseg.storage.orbax_io.read", read)
        with pytest.raises(UnreadableError, match="Stale file handle"):
            train_run(place, run, data_dir, tmp_path)
    assert sorted(place.checkpoints.iterdir()) == before
    train_run(place, run, data_dir, tmp_path)
    assert best(place) == best(uninterrupted)


def test_a_run_that_has_lost_a_budgets_model_does_not_go_on(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    place = RunFolder(tmp_path)
    with pytest.raises(StoppedError):
        train_run(place, run, data_dir, tmp_path, lambda: bool(place.read_log()))
    kept, before = place.checkpoints / "epochs-000001", place.read_log()
    flip_a_bit(max((file for file in kept.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size))
    remedy = rf"(.|\n)*delete {place.path} and repeat the command"
    with pytest.raises(InputError, match=r"epochs-000001: (is damaged|cannot be read)" + remedy):
        train_run(place, run, data_dir, tmp_path)
    shutil.rmtree(kept)
    with pytest.raises(InputError, match=r"epochs-000001/manifest\.json: no such file" + remedy):
        train_run(place, run, data_dir, tmp_path)
    assert place.read_log() == before


def test_budgets_keep_the_best_so_far(uninterrupted: RunFolder) -> None:
    place = uninterrupted
    _, early = arrays.load(place.checkpoints / "epochs-000001")
    _, late = arrays.load(place.checkpoints / "best")
    lines = place.read_log()
    assert early["best_validation_loss"] == pytest.approx(lines[0]["validation_loss"], rel=1e-6)
    assert late["best_validation_loss"] == pytest.approx(min(line["validation_loss"] for line in lines), rel=1e-6)


def test_the_split_is_written_and_belongs_to_dataset_and_repeat(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    place = trained(tmp_path / "half", run, data_dir)
    whole = trained(tmp_path / "whole", dataclasses.replace(run, fraction=1.0), data_dir)
    half, full = (json.loads(each.split.read_text()) for each in (place, whole))
    assert set(half["train"]) < set(full["train"])
    assert half["validation"] == full["validation"]


def validation_loss(place: RunFolder, data_dir: Path, mean: tuple[float, ...], std: tuple[float, ...]) -> float:
    """Of the best model on the whole validation images, as PyTorch computes losses."""
    run, images = place.config(), datasets.load(place.config().dataset, data_dir).train
    tree, _ = arrays.load(place.checkpoints / "best")
    crop, z, t = run.recipe.crop, [], []
    for number in map(images.ids.index, json.loads(place.split.read_text())["validation"]):
        height, width = images.sizes[number]
        for top, left in itertools.product(*([*range(0, side - crop, crop), side - crop] for side in (height, width))):
            window = np.s_[number, top : top + crop, left : left + crop]
            inputs = ((images.pixels[window] / 255 - mean) / std).astype(np.float32)[None]
            (logits, _), _ = network(run.recipe.model).apply(tree["params"], tree["stats"], inputs, train=False)
            z.append(torch.from_numpy(np.array(logits[0, ..., 0])))
            t.append(torch.from_numpy((images.masks[window] > 0).astype(np.float32)))
    logits, truth = torch.stack(z), torch.stack(t)
    p = torch.sigmoid(logits)
    dice = (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
    return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, truth) + 1 - dice)


def test_data_that_changed_under_a_run_are_refused(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    place = RunFolder(tmp_path)
    with pytest.raises(StoppedError):
        train_run(place, run, data_dir, tmp_path, stop_after(1))
    split = json.loads(place.split.read_text())
    former = json.dumps(split | {"fingerprint": "0" * 64})
    place.split.write_text(former)
    with pytest.raises(InputError, match=r"split\.json: the prepared data, or the rule .* have changed since"):
        train_run(place, run, data_dir, tmp_path)
    assert place.split.read_text() == former


def make_weights(folder: Path, run: RunConfig) -> EncoderWeights:
    params, stats = initial(run.recipe.model, None, ("elsewhere",))
    model = run.recipe.model
    receipt = Receipt(
        "other",
        "test",
        "f",
        "0",
        1,
        "test",
        model.depth,
        model.width,
        (0.7, 0.5, 0.6),
        (0.2, 0.2, 0.2),
        "",
        "",
        "",
        "",
        "",
    )
    weights = EncoderWeights(params["encoder"], stats["encoder"], receipt)
    weights.write(folder)
    return weights


def test_converted_weights_and_their_statistics_are_used(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    weights = make_weights(tmp_path, run)
    changed = dataclasses.replace(run, weights="other")
    params, _ = initial(run.recipe.model, weights, (run.dataset, run.repeat))
    random, _ = initial(run.recipe.model, None, (run.dataset, run.repeat))
    assert arrays.digest(params["encoder"]) == arrays.digest(weights.params)
    assert arrays.digest(params["decoder"]) == arrays.digest(random["decoder"])
    place = RunFolder(tmp_path / "run")
    train_run(place, changed, data_dir, tmp_path)
    assert json.loads(place.weights.read_text())["mean"] == [0.7, 0.5, 0.6]
    expected = validation_loss(place, data_dir, (0.7, 0.5, 0.6), (0.2, 0.2, 0.2))
    assert place.read_log()[-1]["best_validation_loss"] == pytest.approx(expected, rel=1e-4)


def test_training_begins_with_the_converted_weights(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    weights, place = make_weights(tmp_path, run), RunFolder(tmp_path / "run")
    with pytest.raises(StoppedError):
        train_run(place, dataclasses.replace(run, weights="other"), data_dir, tmp_path, stop_after(1))
    tree, _ = arrays.load(place.checkpoints / "latest-00000001")
    for found, given in zip(*map(jax.tree.leaves, (tree["params"]["encoder"], weights.params)), strict=True):
        np.testing.assert_allclose(found, given, atol=1.01 * run.recipe.learning_rate)  # which Adam goes at most


def test_weights_without_a_receipt_are_refused(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    make_weights(tmp_path, run)
    (tmp_path / "other" / "receipt.json").unlink()
    with pytest.raises(InputError, match=r"receipt\.json.*\n.*convert"):
        train_run(RunFolder(tmp_path / "run"), dataclasses.replace(run, weights="other"), data_dir, tmp_path)


def test_weights_that_changed_under_a_run_are_refused(tmp_path: Path, run: RunConfig, data_dir: Path) -> None:
    changed = dataclasses.replace(run, weights="other")
    make_weights(tmp_path, run)
    place = RunFolder(tmp_path / "run")
    with pytest.raises(StoppedError):
        train_run(place, changed, data_dir, tmp_path, stop_after(1))
    value = json.loads(place.weights.read_text())
    place.weights.write_text(json.dumps({**value, "arrays_sha256": "0" * 64}))
    with pytest.raises(InputError, match="have changed since this run began"):
        train_run(place, changed, data_dir, tmp_path)


def test_two_devices_are_there() -> None:
    assert jax.local_device_count() == 2


@pytest.mark.parametrize(("stack", "devices"), [("device", 2), ("host", 1)])
def test_what_is_compiled_beside_loading_is_what_is_trained(
    stack: str, devices: int, tmp_path: Path, run: RunConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the step would be compiled twice: the shapes are told before the images are there."""
    asked: list[object] = []
    prepare = Program.prepare

    def noted(program: Program[..., object], *arguments: object) -> object:
        if program.jitted.__name__ == "train":
            asked.append(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.sharding), arguments))
        return prepare(program, *arguments)

    monkeypatch.setattr(Program, "prepare", noted)
    trained(tmp_path, run, data_dir, stack=stack, devices=devices)
    assert len(asked) > 1
    assert all(each == asked[0] for each in asked)
