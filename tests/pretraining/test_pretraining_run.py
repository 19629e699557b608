"""A short pretraining from files to weights: it learns, is exact, resumes, and gives what training takes."""

import dataclasses
import itertools
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import InputError, StoppedError, UsageError
from jaxseg.models import encoder_weights, golden
from jaxseg.models.initial import initial
from jaxseg.models.receipt import Receipt
from jaxseg.pretraining import images, loop, run
from jaxseg.pretraining.config import PretrainConfig
from jaxseg.pretraining.images import survey
from jaxseg.pretraining.loss import TwinsLoss
from jaxseg.pretraining.run import Job, run_pretraining
from jaxseg.storage import arrays
from jaxseg.training.run import TrainOptions

CONFIG = PretrainConfig(
    depth=18,
    width=1 / 16,
    crop=32,
    batch=10,
    epochs=60,
    warm_up=4,
    learning_rate=2e-3,
    projector=16,
    stain=0.05,
    colour=0.1,
    grey=0.0,
)


def job(images: Path, out: Path, **changes: object) -> Job:
    return Job(images, out, "own", dataclasses.replace(CONFIG, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Pretrained without interruption."""
    done = job(image_folder, tmp_path_factory.mktemp("weights"))
    assert run_pretraining(done) == done.result
    return done


def bits(folder: Path) -> str:
    return arrays.digest(arrays.load(folder / "arrays")[0])


@pytest.mark.parametrize(
    ("batch", "told"), [(10, []), (12, ["a batch of 12 shows some of the 10 images more than once"])]
)
def test_fewer_images_than_a_batch_are_told(
    batch: int, told: list[str], image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise StoppedError("before anything is compiled")

    monkeypatch.setattr(run, "make_feed", stop)
    said: list[str] = []
    with pytest.raises(StoppedError):
        run_pretraining(job(image_folder, tmp_path, batch=batch), options=TrainOptions(say=said.append))
    assert [line.removeprefix("note: ").partition(",")[0] for line in said] == told


def test_it_learns(finished: Job) -> None:
    log = finished.folder.read_log()
    assert [line["step"] for line in log] == [10, 20, 30, 40, 50, 60]
    losses = [line["training_loss"] for line in log]
    assert losses[-1] < 0.8 * losses[0]
    assert log[-1]["agreement"] > log[0]["agreement"]


def test_steps_are_handed_over_one_at_a_time(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_for: list[TwinsLoss | None] = []
    monkeypatch.setattr(loop, "one_at_a_time", lambda loss, pause: waited_for.append(loss) or loss)
    run_pretraining(job(image_folder, tmp_path, epochs=4))
    first, *others = waited_for
    assert first is None
    assert len({float(loss[0]) for loss in others if loss is not None}) == 3, "the loss of each step but the last"


def test_in_bfloat16_it_takes_nearly_the_same_steps(finished: Job, tmp_path: Path) -> None:
    coarse = job(finished.images, tmp_path, compute_dtype="bfloat16", epochs=10)
    run_pretraining(coarse)
    found = coarse.folder.read_log()[0]["training_loss"]
    assert 0 < abs(found / finished.folder.read_log()[0]["training_loss"] - 1) < 0.2  # rates fall sooner, too


def test_the_weights_fit_a_model_and_carry_their_receipt(finished: Job) -> None:
    read = encoder_weights.read(finished.weights_dir, "own", CONFIG.model)
    params, stats = initial(CONFIG.model, read, ("glas", 0))
    fresh, _ = initial(CONFIG.model, None, CONFIG.stream)
    assert arrays.digest(params["encoder"]) != arrays.digest(fresh["encoder"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params["encoder"]))
    assert float(np.abs(stats["encoder"]["stem"]["bn"]["mean"]).max()) > 0
    measured = survey(finished.images, "**/*", 16)
    assert (read.receipt.mean, read.receipt.std) == (measured.mean, measured.std)
    assert read.receipt.sha256 == measured.sha256
    assert read.receipt.source == f"Barlow Twins on 10 images of {finished.images.name}"
    assert read.receipt.statistics_from == "measured on these images"
    assert golden.activations(CONFIG.model.depth, CONFIG.model.width, read.tree()) == read.receipt.golden


def test_the_finished_folder_holds_no_checkpoints_and_is_left_alone(finished: Job) -> None:
    assert not list(finished.folder.checkpoints.glob("latest-*"))
    before = {file: file.stat().st_mtime_ns for file in finished.weights_dir.rglob("*") if file.is_file()}
    run_pretraining(finished)
    assert before == {file: file.stat().st_mtime_ns for file in finished.weights_dir.rglob("*") if file.is_file()}


def test_stopped_and_resumed_gives_the_bits_of_an_uninterrupted_one(finished: Job, tmp_path: Path) -> None:
    again = job(finished.images, tmp_path)
    for stops in (3, 25):  # within a line of the log, and between others
        count = itertools.count(1)
        with pytest.raises(StoppedError, match="resume"):
            run_pretraining(again, lambda count=count, stops=stops: next(count) == stops)
        assert not again.result.exists()
    run_pretraining(again)
    assert bits(again.result) == bits(finished.result)
    keys = ("step", "training_loss", "agreement", "redundancy")
    lines = [[{key: line[key] for key in keys} for line in done.folder.read_log()] for done in (again, finished)]
    assert lines[0] == lines[1]


def test_starting_from_weights_begins_with_them(finished: Job, tmp_path: Path) -> None:
    shutil.copytree(finished.result, tmp_path / "own")
    further = Job(finished.images, tmp_path, "further", dataclasses.replace(CONFIG, weights="own"))
    with pytest.raises(StoppedError):
        run_pretraining(further, lambda: True)
    (checkpoint,) = further.folder.checkpoints.glob("latest-*")
    tree, _ = arrays.load(checkpoint)
    start = encoder_weights.read(tmp_path, "own", CONFIG.model)
    moved = [
        np.abs(found - was).max()
        for found, was in zip(jax.tree.leaves(tree["params"]["encoder"]), jax.tree.leaves(start.params), strict=True)
    ]
    assert 0 < max(moved) <= 1.01 * CONFIG.learning_rate / 4  # one step of Adam, a quarter into the warm-up


def test_weights_to_start_from_keep_their_preprocessing(finished: Job, tmp_path: Path) -> None:
    start = encoder_weights.read(finished.weights_dir, "own", CONFIG.model)
    receipt = dataclasses.replace(start.receipt, name="dark", mean=(0.1, 0.2, 0.3), std=(0.9, 0.8, 0.7))
    losses = []
    for begin in (start, dataclasses.replace(start, receipt=receipt)):
        begin.write(tmp_path)
        config = dataclasses.replace(CONFIG, weights=begin.receipt.name, epochs=1)
        further = Job(finished.images, tmp_path, f"{begin.receipt.name}_further", config)
        found = Receipt.read(run_pretraining(further))
        assert (found.mean, found.std) == (begin.receipt.mean, begin.receipt.std)
        assert found.statistics_from.startswith(f"those of {begin.receipt.name}, from which it started")
        assert f"of the weights it started from ({begin.receipt.name}: {begin.receipt.licence})" in found.licence
        losses.append(further.folder.read_log()[0]["training_loss"])
    assert losses[0] != losses[1], "the same weights see other numbers"


def test_checkpoints_of_other_preprocessing_are_not_resumed(finished: Job, tmp_path: Path) -> None:
    start = encoder_weights.read(finished.weights_dir, "own", CONFIG.model)
    start.write(tmp_path)
    further = Job(finished.images, tmp_path, "further", dataclasses.replace(CONFIG, weights="own", epochs=2))
    with pytest.raises(StoppedError):
        run_pretraining(further, lambda: True)
    about = json.loads(further.folder.config_file.read_text())
    earlier = {key: value for key, value in about.items() if key not in ("mean", "std")}  # normalised by its images
    further.folder.config_file.write_text(json.dumps(earlier))
    with pytest.raises(UsageError, match=r"another pretraining\n +found: +mean None, std None"):
        run_pretraining(further)
    further.folder.config_file.write_text(json.dumps(about))
    receipt = dataclasses.replace(start.receipt, mean=(0.1, 0.2, 0.3))
    dataclasses.replace(start, receipt=receipt).write(tmp_path)
    with pytest.raises(UsageError, match=r"expected: mean \[0.1, 0.2, 0.3\], as asked for"):
        run_pretraining(further)
    dataclasses.replace(start, params=jax.tree.map(np.negative, start.params)).write(tmp_path)
    with pytest.raises(InputError, match=r"another pretraining\n +found: +weights_sha256"):
        run_pretraining(further)
    start.write(tmp_path)
    run_pretraining(further)
    further.folder.config_file.write_text(json.dumps(earlier))
    assert run_pretraining(further) == further.result, "a finished one is left alone, as it was recorded before"


def test_a_transfer_that_nobody_asked_for_stops_the_loop(finished: Job, tmp_path: Path) -> None:
    def look(step: int, total: int, line: object) -> None:
        jnp.sin(np.float32(step))

    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        run_pretraining(job(finished.images, tmp_path), options=TrainOptions(on_step=look))


def test_other_settings_or_images_under_the_same_name_are_refused(finished: Job, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found: +crop 32\n +expected: crop 64, as asked for"):
        run_pretraining(job(finished.images, finished.weights_dir, crop=64))
    fewer = tmp_path / "tiles"
    shutil.copytree(finished.images, fewer)
    (fewer / "tile_0.png").unlink()
    with pytest.raises(InputError, match="images_sha256"):
        run_pretraining(job(fewer, finished.weights_dir))


def test_what_ended_before_a_checkpoint_may_begin_anew_with_other_settings(
    finished: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as small:
        small.setattr(images, "memory", lambda: 1)
        with pytest.raises(InputError, match="choose fewer with --pattern"):
            run_pretraining(job(finished.images, tmp_path))
    fewer = dataclasses.replace(job(finished.images, tmp_path, batch=8), pattern="tile_*")
    with pytest.raises(StoppedError):
        run_pretraining(fewer, lambda: True)
    with pytest.raises(InputError, match="is the record of another pretraining"):
        run_pretraining(job(finished.images, tmp_path))


def test_what_is_asked_for_is_passed_on(image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, tuple[Any, ...]] = {}
    for name in ("make_feed", "make_twins_steps", "pretrain"):
        monkeypatch.setattr(run, name, lambda *given, name=name: told.setdefault(name, given))
    monkeypatch.setattr(run, "_result", lambda *_: SimpleNamespace(write=lambda _: None))
    options = TrainOptions(devices=1, stack="host", checkpoint_seconds=7)
    asked = dataclasses.replace(job(image_folder, tmp_path, batch=4, epochs=3), pattern="tile_*")
    run_pretraining(asked, options=options)
    assert told["make_feed"][1] == CONFIG.crop
    assert told["make_feed"][4] == "host"
    config, mesh, *counts = told["make_twins_steps"]
    assert (config, mesh.size, counts) == (asked.config, 1, [8 / 4, 6])
    use = told.pop("pretrain")[1]
    assert (use.total, use.interval, use.images, use.batch, use.checkpoint_seconds) == (6, 10, 8, 4, 7)
    monkeypatch.setattr(run, "LEAST_GAP", 1)
    run_pretraining(asked)
    assert told["pretrain"][1].interval == 2, "an epoch"


def test_images_are_half_a_crop_at_least(image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="height and width of at least 48 pixels, half a crop"):
        run_pretraining(job(image_folder, tmp_path, crop=96))


def test_another_process_at_the_same_is_not_disturbed(image_folder: Path, tmp_path: Path) -> None:
    taken = job(image_folder, tmp_path)
    with taken.folder.held(), pytest.raises(UsageError, match="another process"):
        run_pretraining(taken)


def test_weights_from_elsewhere_are_not_replaced(finished: Job, tmp_path: Path) -> None:
    shutil.copytree(finished.result, tmp_path / "own")
    with pytest.raises(UsageError, match="choose another --name"):
        run_pretraining(job(finished.images, tmp_path))


def test_divergence_is_told(finished: Job, tmp_path: Path) -> None:
    start = encoder_weights.read(finished.weights_dir, "own", CONFIG.model)
    broken = dataclasses.replace(
        start,
        params=jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), start.params),
        receipt=dataclasses.replace(start.receipt, name="broken"),
    )
    broken.write(tmp_path)
    with pytest.raises(UsageError, match="--learning-rate"):
        run_pretraining(job(finished.images, tmp_path, weights="broken"))


def test_config_json_is_the_configuration(finished: Job) -> None:
    about = json.loads((finished.folder.path / "config.json").read_text())
    assert about.items() >= json.loads(json.dumps(CONFIG.to_json())).items()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("crop", 100), ("batch", 1), ("zoom", 0.5), ("depth", 20), ("width", 0.3), ("learning_rate", 0.0)],
        *[("grey", 2.0), ("warm_up", 1.5), ("blur", math.nan), ("compute_dtype", "float16")],
        *[("weights", "../own"), ("projector", 1), ("stain", 1.0), ("colour", 1.0), ("crop", 0), ("zoom", 5.0)],
    ],
)
def test_bad_settings_are_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name}.*\n.*found"):
        PretrainConfig(**{name: value})  # type: ignore[arg-type]
