"""Estimates against the real model, published figures and arithmetic by hand."""

import dataclasses
import math
from pathlib import Path

import jax
import pytest
from studies import small_study

from jaxseg.config import DEPTHS, Locations, ModelConfig, Recipe, RunConfig, Study
from jaxseg.execution import estimate, speeds
from jaxseg.execution.compile_cache import cache_folder
from jaxseg.execution.complete import _had_a_device_alone, complete
from jaxseg.execution.plan import make_plan
from jaxseg.execution.resources import SCALING, Resources
from jaxseg.files import write_json
from jaxseg.models.unet import network
from jaxseg.run_folder import RunFolder
from jaxseg.training.run import TrainOptions

CPU, GPU = Resources(1), Resources(1, ("0",))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("width", [1.0, 1 / 8, 3 / 64])
def test_parameters_are_those_of_the_model(depth: int, width: float) -> None:
    config = ModelConfig(depth=depth, width=width, classes=2)
    model = network(config)
    assert estimate.parameters(config) == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model.params))
    assert estimate.statistics_kept(config) == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model.stats))


def test_published_size_of_the_paper_model() -> None:
    assert estimate.parameters(ModelConfig()) == 32_521_105  # the common PyTorch U-Net with ResNet50, one class
    assert estimate.multiplications(ModelConfig(), 256) == pytest.approx(10.6e9, rel=0.02)


def test_time_of_the_measured_nets() -> None:
    full = Recipe()
    assert estimate.seconds_per_crop(full, False, 2) == pytest.approx(0.33)
    narrow = Recipe(model=ModelConfig(width=1 / 8))
    assert estimate.seconds_per_crop(narrow, False, 2) == pytest.approx(0.055, rel=0.1)
    assert estimate.seconds_per_crop(full, False, 8) == pytest.approx(0.33 / 4**SCALING)
    assert 1 / estimate.seconds_per_crop(full, True, 1) == pytest.approx(2000)


def test_crops_of_a_run() -> None:
    run = RunConfig("glas", fraction=0.1, recipe=Recipe(batch=16, budgets=(100,), validation_share=0.2))
    assert estimate.crops(run, 85) == math.ceil(100 * 7 / 16) * 16  # 85 images, 68 to train on, 7 of them used
    assert estimate.crops(RunConfig("x", fraction=0.1, recipe=Recipe(budgets=(1,))), 2) == 16, "at least one image"


def test_disk_by_hand(tmp_path: Path, locations: Locations) -> None:
    study = small_study()
    plan = make_plan(study, tmp_path / "study", locations)
    model = 4 * (estimate.parameters(study.recipe.model) + estimate.statistics_kept(study.recipe.model))
    # five runs of two budgets, and two workers with two `latest` of four times the model
    assert estimate.disk_needed(plan, 2) == 5 * (2 * model + 2**20) + 2 * 2 * 4 * model


def test_measured_speed_replaces_nothing_but_stands_beside(tmp_path: Path, locations: Locations) -> None:
    study, folder = small_study(), tmp_path / "study"
    before = estimate.time_needed(make_plan(study, folder, locations), Resources(1))
    assert before is not None
    assert before.measured is None
    assert before.gpu < before.cpu
    run = RunFolder.of(folder, study.runs()[0])
    run.create(study.runs()[0])
    write_json(run.done, {"images_per_second": 4.0, "test_datasets": ["site_a", "site_b"]})
    after = estimate.time_needed(make_plan(study, folder, locations), Resources(1))
    assert after is not None
    # 10 images, 8 to train on, 3 epochs of batch 4: three runs of 24 crops and one of 12
    assert after.measured == pytest.approx((24 + 24 + 24 + 12) / 4.0 * estimate.BESIDES)
    assert after.cpu < before.cpu


def needed(study: Study, folder: Path, locations: Locations, resources: Resources = CPU) -> estimate.Time:
    time = estimate.time_needed(make_plan(study, folder, locations), resources)
    assert time is not None
    return time


def test_nodes_of_a_cluster_share_runs_out(
    tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "usable_cores", lambda: 4)

    def of(nodes: int, *gpus: str) -> estimate.Time:
        resources = Resources(len(gpus) or 2, gpus, nodes=nodes)
        return needed(small_study(), tmp_path / "study", locations, resources)

    assert of(2).cpu == pytest.approx(of(1).cpu / 2), "each worker has the share of its own node's cores"
    assert of(4, "0").gpu == pytest.approx(of(2, "0", "1").gpu) == pytest.approx(of(1, "0").gpu / 4)


def test_runs_of_other_studies_on_this_host_correct_the_estimate(tmp_path: Path, locations: Locations) -> None:
    study = small_study()
    recipe = study.recipe
    before = needed(study, tmp_path / "study", locations)
    half = 0.5 / estimate.seconds_per_crop(recipe, False, 1)  # half as fast as estimated, on one core
    speeds.remember(recipe, "cpu", 1, half)
    after = needed(study, tmp_path / "study", locations)
    assert after.measured == pytest.approx(2 * before.cpu)
    assert after.source == "runs of this kind on this CPU"
    assert needed(study, tmp_path / "study", locations, GPU).measured is None
    speeds.remember(recipe, "NVIDIA H100", 8, 1 / estimate.seconds_per_crop(recipe, True, 1) / 3)
    assert needed(study, tmp_path / "study", locations, GPU).measured == pytest.approx(3 * before.gpu)


def test_another_net_corrects_it_until_one_of_the_kind_was_measured(tmp_path: Path, locations: Locations) -> None:
    study = small_study()
    other = dataclasses.replace(study.recipe, crop=2 * study.recipe.crop)
    before = needed(study, tmp_path / "study", locations)
    speeds.remember(other, "cpu", 2, 1 / estimate.seconds_per_crop(other, False, 2) / 4)
    after = needed(study, tmp_path / "study", locations)
    assert after.measured == pytest.approx(4 * before.cpu)
    assert after.source == "other runs on this CPU"
    for factor in (7, 5):  # the later one counts
        speeds.remember(study.recipe, "cpu", 2, 1 / estimate.seconds_per_crop(study.recipe, False, 2) / factor)
    assert needed(study, tmp_path / "study", locations).measured == pytest.approx(5 * before.cpu)


def test_broken_memories_and_those_of_other_hosts_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_study().recipe
    speeds.remember(recipe, "cpu", 2, 10.0)
    (speed,) = speeds.known(gpu=False)
    assert (speed.images_per_second, speed.is_of(recipe)) == (10, True)
    (file,) = (cache_folder() / "speeds").glob("*.json")
    for content in ("{", "[]", "{}", file.read_text().replace("10.0", '"x"'), file.read_text().replace("10.0", "-1")):
        file.with_name("other.json").write_text(content)
        assert speeds.known(gpu=False) == [speed]
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert speeds.known(gpu=False) == []


def test_a_run_that_has_its_device_alone_leaves_its_speed_behind(
    run: RunConfig, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(name: str) -> None:
        options = TrainOptions(devices=1)
        complete(RunFolder(tmp_path / name), run, (run.dataset,), data_dir, tmp_path, options=options)

    with monkeypatch.context() as patch:
        patch.setenv("JAXSEG_RUNS_PER_GPU", "2")
        finish("beside another one")
    assert not speeds.known(gpu=False)
    assert not _had_a_device_alone(TrainOptions()), "two simulated devices share its batches"
    finish("alone")
    (speed,) = speeds.known(gpu=False)
    assert speed.is_of(run.recipe)
    assert speed.images_per_second > 0
