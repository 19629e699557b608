"""Several classes: named, checked value by value, kept as class maps from the mask file to the stack."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.datasets import damaged, describe, instances, load, prepare, prepare_folder, read_card
from jaxseg.datasets.classes import beside, check_classes, named, read_classes
from jaxseg.datasets.preview import preview
from jaxseg.errors import InputError, UsageError

VALUES = (0, 10, 20, 255)


def _fill(pictures, source: Path, count: int = 6) -> dict[str, np.ndarray]:
    """Images with masks of `VALUES`; id -> class map."""
    drawn = {}
    for k in range(count):
        labels = pictures.pair(source / "images" / f"s{k}.png", source / "masks" / f"s{k}.png", VALUES)[1]
        drawn[f"s{k}"] = np.searchsorted(VALUES, labels)
    return drawn


@pytest.mark.parametrize("way", ["argument", "classes.json", "classes.csv", "classes.csv by semicolons"])
def test_class_maps_arrive_in_the_stack(tmp_path: Path, pictures, way: str) -> None:
    drawn = _fill(pictures, tmp_path)
    if way == "classes.json":
        (tmp_path / way).write_text('{"vessel": 255, "gland": 10, "nerve": 20}')
    elif way.startswith("classes.csv"):
        text = "class,value\nvessel,255\ngland,10\nnerve,20\n"
        (tmp_path / "classes.csv").write_text(text.replace(",", ";") if way.endswith("semicolons") else text)
    classes = {"vessel": 255, "gland": 10, "nerve": 20} if way == "argument" else None
    prepare_folder("mylab", tmp_path, tmp_path / "data", task="tissue", masks="classes", classes=classes)
    dataset, maps = load("mylab", tmp_path / "data"), instances("mylab", tmp_path / "data")
    assert dataset.classes == ("gland", "nerve", "vessel")
    for images in (dataset.train, dataset.test):
        assert images.masks.dtype == np.uint8
        for k, name in enumerate(images.ids):
            np.testing.assert_array_equal(images.masks[k], drawn[name])
            regions = [ndimage.label(drawn[name] == value) for value in (1, 2, 3)]
            assert maps[name].max() == sum(count for _, count in regions)
            for found, _ in regions:  # each region is one object, and no other region has its number
                for number in range(1, found.max() + 1):
                    (own,) = np.unique(maps[name][found == number])
                    assert ((maps[name] == own) == (found == number)).all()
    for row in dataset.card.images:
        sizes = np.bincount(maps[row.id].ravel())[1:]
        assert (row.objects, row.specks) == (len(sizes), (sizes < 8).sum())
    assert damaged("mylab", tmp_path / "data") == []
    assert preview("mylab", tmp_path / "data").is_file()


def test_one_class_is_the_binary_case(tmp_path: Path, pictures) -> None:
    drawn = [
        pictures.pair(tmp_path / "images" / f"s{k}.png", tmp_path / "masks" / f"s{k}.png", (0, 7))[1] for k in range(4)
    ]
    prepare_folder("mylab", tmp_path, tmp_path / "data", task="glands", masks="classes", classes={"gland": 7})
    assert load("mylab", tmp_path / "data").classes == ("glands",)
    assert load("mylab", tmp_path / "data").train.masks.max() == 1
    assert read_card("mylab", tmp_path / "data").classes == ()
    maps = instances("mylab", tmp_path / "data")
    for k, mask in enumerate(drawn):
        np.testing.assert_array_equal(maps[f"s{k}"], ndimage.label(mask)[0])


def test_built_in_tissue_has_three_classes(tmp_path: Path) -> None:
    prepare("synthetic_tissue_a", tmp_path)
    dataset = load("synthetic_tissue_a", tmp_path)
    assert dataset.classes == describe("synthetic_tissue_a").classes == ("epithelium", "lumen", "lymphocytes")
    assert np.unique(dataset.train.masks).tolist() == [0, 1, 2, 3]


def test_values_without_a_name_are_refused_by_file(tmp_path: Path, pictures) -> None:
    _fill(pictures, tmp_path)
    with pytest.raises(
        InputError, match=r"(?s)masks/s\d\.png: has values that are no class.*255.*10 for gland.*remedy"
    ):
        prepare_folder("x", tmp_path, tmp_path / "data", task="t", masks="classes", classes={"gland": 10, "nerve": 20})
    assert not list(tmp_path.rglob("jaxseg.json"))


def test_values_map_to_their_place(tmp_path: Path, pictures) -> None:
    labels = np.array([[0, 3], [200, 3]], np.uint8)
    file = pictures.write(tmp_path / "m.png", labels)
    assert read_classes(file, {"a": 3, "b": 200}).tolist() == [[0, 1], [2, 1]]


def test_names_on_the_command_line_are_sorted_by_value() -> None:
    assert list(named(("b=2", " a = 1")).items()) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    "texts", [("a",), ("a=",), ("a=-1",), ("a=x",), ("a=0",), ("=1",), ("a=1", "b=1"), ("a=1", "a=2")]
)
def test_bad_names_on_the_command_line(texts: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"(?s)class.*NAME=VALUE"):
        named(texts)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.json", "not json"),
        ("classes.json", "[1, 2]"),
        ("classes.json", '{"a": 1.5}'),
        ("classes.json", '{"a": "1"}'),
        ("classes.json", '{"a": 1, "b": 1}'),
        ("classes.json", '{"a": 1, "a": 2}'),
        ("classes.json", '{"a": true}'),
        ("classes.json", "{}"),
        ("classes.csv", "name,number\na,1\n"),
        ("classes.csv", "class,value\na,one\n"),
        ("classes.csv", "class,value\na,1\na,2\n"),
    ],
)
def test_bad_files_of_names(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"(?s)class.*remedy"):
        beside(tmp_path)


@pytest.mark.parametrize(
    ("text", "columns"), [("", "none"), ("class;number\na;1\n", "number"), ("class,value,value\na,1,2\n", "value")]
)
def test_a_table_of_other_columns_is_told_which_they_are(tmp_path: Path, text: str, columns: str) -> None:
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(InputError, match=rf"its columns are ([a-z]+, )*{columns}\n"):
        beside(tmp_path)


def test_missing_names_say_how_to_give_them(tmp_path: Path, pictures) -> None:
    _fill(pictures, tmp_path, 2)
    with pytest.raises(InputError, match=r"(?s)classes\.json: names of the classes are needed.*--classes"):
        prepare_folder("x", tmp_path, tmp_path / "data", task="t", masks="classes")
    with pytest.raises(UsageError, match="--masks classes"):
        prepare_folder("x", tmp_path, tmp_path / "data", task="t", classes={"a": 1})


def test_a_model_of_other_classes_is_refused() -> None:
    check_classes("x", ("a", "b"), 2)
    with pytest.raises(
        UsageError, match=r"(?s)dataset x .*2 in the dataset \(a, b\), 1 in .*set recipe\.model\.classes to 2"
    ):
        check_classes("x", ("a", "b"), 1)


def test_the_same_classes_in_another_order_or_under_other_names_are_refused() -> None:
    """Their numbers mean something else, so that scores would compare one class with another."""
    check_classes("x", ("a", "b"), 2, ("a", "b"))
    check_classes("x", ("glands",), 1, ("something",))  # what one class is called is no matter
    for found in (("b", "a"), ("a", "c")):
        with pytest.raises(
            UsageError, match=rf"(?s)dataset x has other classes.*found: +{', '.join(found)}\n.*: a, b\n.*remedy"
        ):
            check_classes("x", found, 2, ("a", "b"))
