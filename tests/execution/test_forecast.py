"""Forecasts against arithmetic by hand."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from studies import small_study

from jaxseg.config import Locations, ModelConfig, Study
from jaxseg.execution import estimate, forecast, speeds
from jaxseg.execution.forecast import span
from jaxseg.execution.plan import Item, make_plan
from jaxseg.execution.resources import Resources
from jaxseg.execution.workload import Workload
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder

CPU, GPU = Resources(1), Resources(1, ("0",))


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "usable_cores", lambda: 4)


def finish(folder: Path, study: Study, number: int = 0, **done: Any) -> None:
    run = study.runs()[number]
    RunFolder.of(folder, run).create(run)
    defaults = {"images_per_second": 4.0, "device": "cpu", "cores": 4, "test_datasets": ["site_a", "site_b"]}
    write_json(RunFolder.of(folder, run).done, defaults | done)


def work_left(study: Study, folder: Path, locations: Locations) -> list[float]:
    plan = make_plan(study, folder, locations)
    found = [Workload(plan).left(item) for item in plan.to_come]
    return [work for work in found if work is not None]


def needed(study: Study, folder: Path, locations: Locations, resources: Resources = CPU) -> forecast.Time:
    time = forecast.time_needed(make_plan(study, folder, locations), resources)
    assert time is not None
    return time


def test_finished_runs_of_the_study_count_most(tmp_path: Path, locations: Locations) -> None:
    study, folder = small_study(), tmp_path / "study"
    before = needed(study, folder, locations)
    assert before.measured is None
    assert before.gpu < before.cpu
    speeds.remember(study.recipe, "cpu", 4, 1000.0)
    finish(folder, study)
    after = needed(study, folder, locations)
    work = work_left(study, folder, locations)
    assert len(work) == 4
    assert after.measured == pytest.approx(sum(work) / 4.0)
    assert after.source == "measured: finished runs of this study, 4 images/s each"
    finish(folder, study, 1, images_per_second=2.0)
    assert needed(study, folder, locations).source == "measured: finished runs of this study, 2 to 4 images/s each"
    assert after.cpu < before.cpu


def test_finished_on_other_devices_tells_nothing_of_these(tmp_path: Path, locations: Locations) -> None:
    study, folder = small_study(), tmp_path / "study"
    finish(folder, study, device="NVIDIA H100")
    assert needed(study, folder, locations).measured is None
    gpus = Resources(2, ("0", "0"), runs_per_gpu=2)
    work = work_left(study, folder, locations)
    assert needed(study, folder, locations, GPU).measured == pytest.approx(sum(work) / 4.0)
    assert needed(study, folder, locations, gpus).measured == pytest.approx(sum(work) / 8.0), "each had half a GPU"


def test_finished_on_other_cores_is_converted(tmp_path: Path, locations: Locations) -> None:
    study, folder = small_study(), tmp_path / "study"
    finish(folder, study)
    on_one = estimate.seconds_per_crop(study.recipe, False, 1) / estimate.seconds_per_crop(study.recipe, False, 4) / 4
    maker, _, _, longest = work_left(study, folder, locations)
    expected = (maker + longest) * on_one
    assert needed(study, folder, locations, Resources(4)).measured == pytest.approx(expected), "one after the other"


def test_each_net_by_runs_of_its_own_kind(tmp_path: Path, locations: Locations) -> None:
    """A study's makers of weights may be of another one than its grid."""
    study, folder = small_study(), tmp_path / "study"
    (made,) = study.trained_weights
    other = dataclasses.replace(study.recipe, model=ModelConfig(depth=18, width=1 / 8))
    trained = dataclasses.replace(made, run=dataclasses.replace(made.run, recipe=other))
    study = dataclasses.replace(study, trained_weights=(trained,))
    finish(folder, study)
    speeds.remember(other, "cpu", 4, 0.5)
    time = needed(study, folder, locations)
    (maker, *rest) = work_left(study, folder, locations)
    assert time.measured == pytest.approx(maker / 0.5 + sum(rest) / 4.0)
    assert time.source == "measured: runs of this kind on this CPU, 0.5 images/s each", (
        "which tells less than those of the study"
    )


def test_half_of_a_run_takes_half_its_time(tmp_path: Path, locations: Locations) -> None:
    study, folder = small_study(fractions=(1.0,)), tmp_path / "study"
    finish(folder, study)
    before = needed(study, folder, locations).measured
    (RunFolder.of(folder, study.trained_weights[0].run).checkpoints / "latest-00000003").mkdir(parents=True)
    after = needed(study, folder, locations).measured
    assert before is not None
    assert after == pytest.approx(before * 0.75), "of two runs that are left, one is half done"


def test_nodes_of_a_cluster_share_runs_out(tmp_path: Path, locations: Locations) -> None:
    study = small_study(repeats=80)

    def of(nodes: int, *gpus: str) -> forecast.Time:
        return needed(study, tmp_path / "study", locations, Resources(len(gpus) or 2, gpus, nodes=nodes))

    assert of(2).cpu == pytest.approx(of(1).cpu / 2, rel=0.02), "each worker has the share of its own node's cores"
    assert of(4, "0").gpu == pytest.approx(of(2, "0", "1").gpu) == pytest.approx(of(1, "0").gpu / 4, rel=0.02)


def test_on_this_hosts_cores_runs_go_one_at_a_time_however_many_gpus_there_are(
    tmp_path: Path, locations: Locations
) -> None:
    def on_cores(resources: Resources) -> float:
        return needed(small_study(), tmp_path / "study", locations, resources).cpu

    assert on_cores(Resources(2, ("0", "1"))) == on_cores(CPU)


def test_more_workers_than_cores_are_no_faster(tmp_path: Path, locations: Locations) -> None:
    study = small_study(repeats=80)
    four, many = (needed(study, tmp_path / "study", locations, Resources(workers)) for workers in (4, 40))
    assert many.cpu == pytest.approx(four.cpu)


def items(tmp_path: Path, locations: Locations) -> tuple[Item, ...]:
    return make_plan(small_study(), tmp_path / "study", locations).items


def test_runs_go_to_whoever_is_free_first(tmp_path: Path, locations: Locations) -> None:
    maker, *grid = items(tmp_path, locations)
    assert [item.after for item in grid] == [None, None, maker.id, maker.id]
    order = [maker, *grid]
    lasts = dict(zip([item.id for item in order], [5.0, 1.0, 1.0, 2.0, 4.0], strict=True))
    assert span(order, lambda item: lasts[item.id], 1) == 13
    assert span(order, lambda item: lasts[item.id], 2) == 9, "two seconds in which one has nothing to do"
    assert span(order, lambda item: lasts[item.id], 9) == 9, "the weights, and the longest run from them"
    assert span([], lambda item: 1.0, 2) == 0


def test_runs_of_other_studies_on_this_host_correct_the_estimate(tmp_path: Path, locations: Locations) -> None:
    study = small_study()
    recipe = study.recipe
    before = needed(study, tmp_path / "study", locations)
    speeds.remember(recipe, "cpu", 1, 0.5 / estimate.seconds_per_crop(recipe, False, 1))  # half as fast as estimated
    after = needed(study, tmp_path / "study", locations)
    assert after.measured == pytest.approx(2 * before.cpu)
    assert after.source.startswith("measured: runs of this kind on this CPU, ")
    speeds.remember(recipe, "cpu", 4, 0.2 / estimate.seconds_per_crop(recipe, False, 4))
    assert needed(study, tmp_path / "study", locations).measured == pytest.approx(5 * before.cpu), "on as many cores"
    assert needed(study, tmp_path / "study", locations, GPU).measured is None
    speeds.remember(recipe, "NVIDIA H100", 8, 1 / estimate.seconds_per_crop(recipe, True, 1) / 3)
    on_gpu = needed(study, tmp_path / "study", locations, GPU)
    assert on_gpu.measured == pytest.approx(3 * before.gpu)
    assert on_gpu.source.startswith("measured: runs of this kind on NVIDIA H100, ")


def test_another_net_corrects_it_until_one_of_the_kind_was_measured(tmp_path: Path, locations: Locations) -> None:
    study = small_study()
    other = dataclasses.replace(study.recipe, crop=2 * study.recipe.crop)
    before = needed(study, tmp_path / "study", locations)
    speeds.remember(other, "cpu", 2, 1 / estimate.seconds_per_crop(other, False, 2) / 4)
    after = needed(study, tmp_path / "study", locations)
    assert after.measured == pytest.approx(4 * before.cpu)
    assert after.source == "estimate from runs of other kinds on this CPU"
    for factor in (7, 5, 5):  # the median counts
        speeds.remember(study.recipe, "cpu", 2, 1 / estimate.seconds_per_crop(study.recipe, False, 2) / factor)
    assert needed(study, tmp_path / "study", locations).measured == pytest.approx(5 * before.cpu)


def test_a_damaged_record_is_left_to_the_plan_to_tell(tmp_path: Path, locations: Locations) -> None:
    study, folder = small_study(), tmp_path / "study"
    before = needed(study, folder, locations)
    finish(folder, study, cores=0)
    assert [item.state for item in make_plan(study, folder, locations).items].count("missing") == 1
    assert needed(study, folder, locations).cpu == pytest.approx(before.cpu)


def test_a_run_that_told_no_speed_tells_nothing(tmp_path: Path, locations: Locations) -> None:
    study, folder = small_study(), tmp_path / "study"
    finish(folder, study, images_per_second=0.0)
    assert needed(study, folder, locations).measured is None


def test_nothing_is_told_of_data_of_unknown_size(tmp_path: Path, locations: Locations) -> None:
    plan = make_plan(small_study(), tmp_path / "study", Locations(tmp_path / "nothing", tmp_path))
    assert forecast.time_needed(plan, CPU) is None
