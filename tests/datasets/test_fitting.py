"""Which datasets a run can be trained and scored on."""

import shutil
from pathlib import Path

import pytest

from jaxseg import datasets
from jaxseg.config import ModelConfig, Recipe, RunConfig
from jaxseg.datasets.fitting import check_fits
from jaxseg.errors import InputError, UsageError

RUN = RunConfig("synthetic_nuclei_a")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("synthetic_nuclei_a", "synthetic_nuclei_b", "synthetic_glands_a"):
        datasets.prepare(name, folder)
    return folder


def test_a_dataset_of_the_same_task_fits(data: Path) -> None:
    check_fits(RUN, ["synthetic_nuclei_a", "synthetic_nuclei_b"], data)


def test_others_are_refused_by_name(data: Path) -> None:
    with pytest.raises(
        UsageError, match=r"synthetic_glands_a is for another task(.|\n)*found: +glands\n +expected: nuclei"
    ):
        check_fits(RUN, ["synthetic_nuclei_b", "synthetic_glands_a"], data)
    with pytest.raises(UsageError, match=r"no such dataset\n +found: +synthetic_nuclei_x"):
        check_fits(RUN, ["synthetic_nuclei_x"], data)
    with pytest.raises(InputError, match="crag is not prepared"):
        check_fits(RUN, ["crag"], data)
    three = RunConfig("synthetic_nuclei_a", recipe=Recipe(ModelConfig(classes=3)))
    with pytest.raises(UsageError, match=r"another number of classes(.|\n)*1 in the dataset"):
        check_fits(three, ["synthetic_nuclei_b"], data)


def test_the_task_of_a_dataset_that_is_not_at_hand(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "synthetic_glands_a", tmp_path / "synthetic_glands_a")
    with pytest.raises(UsageError, match="another task"):
        check_fits(RUN, ["synthetic_glands_a"], tmp_path)
    check_fits(RunConfig("mylab"), ["synthetic_glands_a"], tmp_path)


def test_classes_in_another_order_do_not_fit(tmp_path: Path, pictures) -> None:
    """Told from the dataset that the run was trained on, from the description, or from what the run has recorded."""
    three = Recipe(ModelConfig(classes=3))
    for k in range(3):
        pictures.pair(tmp_path / "images" / f"s{k}.png", tmp_path / "masks" / f"s{k}.png", (0, 1, 2, 3))
    for name, order in (
        ("mylab", ("lumen", "epithelium", "lymphocytes")),
        ("theirs", ("epithelium", "lumen", "lymphocytes")),
    ):
        classes = {one: value for value, one in enumerate(order, start=1)}
        datasets.prepare_folder(name, tmp_path, tmp_path / "data", task="tissue", masks="classes", classes=classes)
    told = (
        r"theirs has other classes(.|\n)*found: +epithelium, lumen, lymphocytes\n +expected: lumen, epithelium, lymph"
    )
    with pytest.raises(UsageError, match=told):
        check_fits(RunConfig("mylab", recipe=three), ["mylab", "theirs"], tmp_path / "data")
    with pytest.raises(UsageError, match="mylab has other classes"):
        check_fits(RunConfig("synthetic_tissue_a", recipe=three), ["theirs", "mylab"], tmp_path / "data")
    elsewhere = RunConfig("elsewhere", recipe=three)
    check_fits(elsewhere, ["mylab", "theirs"], tmp_path / "data")  # nobody can tell
    with pytest.raises(UsageError, match=told):
        check_fits(elsewhere, ["theirs"], tmp_path / "data", ("lumen", "epithelium", "lymphocytes"))
