"""Counts against what training and scoring really do."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from studies import prepare, small_study

from jaxseg.config import Locations, Recipe, RunConfig
from jaxseg.datasets.card import Card, Row, fingerprint
from jaxseg.datasets.prepared import prepared_folder, read_card
from jaxseg.datasets.split import split
from jaxseg.execution import workload
from jaxseg.execution.plan import Item, make_plan
from jaxseg.execution.sweep import _progress
from jaxseg.execution.workload import Workload, step_reached
from jaxseg.files import write_json
from jaxseg.input.placement import windows
from jaxseg.run_folder import RunFolder
from jaxseg.training.validation import make_grid


def row(number: int, patient: str, part: str = "train", height: int = 64, width: int = 64) -> Row:
    return Row(f"{part}{number}", part, part, patient, height, width, 1, 0.5, "", "")


@pytest.mark.parametrize("per_patient", [1, 6, 24])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.99])
def test_images_are_as_many_as_the_split_gives(per_patient: int, fraction: float, share: float) -> None:
    rows = [row(number, f"p{number // per_patient}") for number in range(24)]
    run = RunConfig("x", fraction=fraction, repeat=3, recipe=Recipe(validation_share=share))
    ids, patients = [each.id for each in rows], [each.patient for each in rows]
    drawn = split("x", ids, patients, 3, fraction, share)
    assert workload.divided(rows, run) == (len(drawn.train), len(drawn.validation))


def test_whole_patients_are_more_images_than_a_fraction_asks_for() -> None:
    rows = [row(number, f"p{number // 6}") for number in range(24)]
    assert workload.divided(rows, RunConfig("x", fraction=0.1)) == (6, 6), "of 24 images of four patients"


@pytest.mark.parametrize(("height", "width"), [(64, 64), (20, 300), (129, 128), (522, 775)])
def test_windows_are_those_that_are_looked_at(height: int, width: int) -> None:
    for crop, stride in ((64, 32), (128, 128), (256, 128)):
        which, _ = windows(np.array([[height, width]]), crop, stride)
        assert workload.windows(row(0, "p", height=height, width=width), crop, stride) == len(which)


@pytest.fixture
def item(tmp_path: Path, locations: Locations) -> Item:
    return make_plan(small_study(), tmp_path / "study", locations).items[-1]


def test_a_run_by_hand(tmp_path: Path, locations: Locations) -> None:
    rows = [*(row(n, f"p{n}", height=100) for n in range(10)), *(row(n, f"t{n}", "test", 64, 96) for n in range(5))]
    folder = prepared_folder("site_a", locations.data)
    Card("site_a", "site_a", "glands", "", "", True, fingerprint("glands", rows), {}, (), tuple(rows)).write(folder)
    study = small_study()
    plan = make_plan(study, tmp_path / "study", locations)
    item = plan.items[-1]  # crops of 64 pixels in batches of 4, three epochs of 8 images
    assert (item.run.dataset, item.run.fraction) == ("site_a", 1.0)
    sizes = np.array([(each.height, each.width) for each in read_card("site_a", locations.data).rows("train")])
    grid = make_grid(np.arange(2), sizes, 64, 4)
    assert grid.weights.sum() == 4, "two images of two windows"
    training = 24 + workload.LOOK * 2 * 4  # measured where either budget ends
    scoring = workload.LOOK * 2 * 5 * 2  # two models on five images of two windows
    assert Workload(plan).of(item) == pytest.approx(training + scoring)
    shown = _progress(plan, tmp_path)
    assert shown.sizes[item.id] == pytest.approx(training + scoring)
    assert shown.scoring[item.id] == pytest.approx(scoring)
    folder = RunFolder.of(plan.folder, item.run)
    assert Workload(plan).left(item) == Workload(plan).of(item)
    for name, left in (("damaged-latest-00000005", 1), ("latest-00000002", 2 / 3), ("latest-00000004", 1 / 3)):
        (folder.checkpoints / name).mkdir(parents=True)
        folder.log.write_text(json.dumps({"epoch": 2.9}) + "\n")  # what was told after the checkpoint is done again
        assert Workload(plan).left(item) == pytest.approx(training * left + scoring)
    (folder.checkpoints / "best").mkdir()
    assert Workload(plan).left(item) == pytest.approx(scoring)
    for scored, left in (("site_b", scoring), ("site_a", 0)):  # of which site_b has no images to test on
        write_json(folder.done, {"images_per_second": 4.0, "test_datasets": [scored]})
        assert Workload(plan).left(item) == pytest.approx(left), "what was scored before is not scored again"
    assert Workload(plan).of(item) == pytest.approx(training + scoring)


def test_a_checkpoint_that_is_being_written_is_none_to_go_on_from(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert step_reached(folder) == 0
    for name in ("latest-00000003", "latest-00000007", "latest-00000009.orbax-checkpoint-tmp"):
        (folder.checkpoints / name).mkdir(parents=True)
    assert step_reached(folder) == 7


def test_published_numbers_serve_until_data_are_prepared(tmp_path: Path, item: Item) -> None:
    plan = make_plan(small_study(), tmp_path / "study", Locations(tmp_path / "nothing", tmp_path))
    glas = dataclasses.replace(item, run=RunConfig("glas", fraction=0.1, recipe=Recipe(batch=16, budgets=(100,))))
    # 85 images, 68 to train on, 7 of them used: 700 crops in batches of 16
    assert Workload(plan).of(glas) == pytest.approx(704 * (1 + workload.BESIDES))
    assert Workload(plan).of(item) is None, "nobody has published numbers of it"


def test_what_runs_have_in_common_is_counted_once(
    tmp_path: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of runs on thousands of images would take minutes to plan."""
    calls: list[str] = []
    for name in ("read_card", "windows", "divided"):
        original = getattr(workload, name)
        monkeypatch.setattr(workload, name, lambda *a, n=name, f=original: calls.append(n) or f(*a))
    plan = make_plan(small_study(), tmp_path / "study", locations)
    counted = Workload(plan)
    assert None not in [counted.of(item) for item in plan.items] + [counted.left(item) for item in plan.items]
    assert calls.count("windows") == 10 + 10, "of site_a and cells, which have no images to test on"
    assert calls.count("divided") == 2 + 1, "two fractions, whatever the weights, and the run that makes some"
    assert calls.count("read_card") == 2 + 3, "to train on and to test on"


def test_thousands_of_images_are_counted_at_once(
    tmp_path: Path, locations: Locations, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(locations.data, "site_a", images=100_000)
    monkeypatch.setattr(workload, "split", lambda *_: pytest.fail("takes most of a minute"))
    plan = make_plan(small_study(), tmp_path / "study", locations)
    assert Workload(plan).of(item) == pytest.approx(3 * 80_000 + workload.LOOK * 2 * 20_000)
