"""CRAG under both spellings of its folders."""

from pathlib import Path

import pytest

from jaxseg.datasets import crag
from jaxseg.errors import InputError


@pytest.mark.parametrize(("test", "annotation"), [("valid", "Annotation"), ("test", "Annotations")])
def test_both_spellings_are_read(tmp_path: Path, pictures, same, test: str, annotation: str) -> None:
    root = tmp_path / "CRAG"
    expected = {}
    for folder, stem in (("train", "train_2"), ("train", "train_10"), (test, "test_1")):
        image = root / folder / "Images" / f"{stem}.png"
        expected[stem] = pictures.pair(image, root / folder / annotation / f"{stem}.png")
        pictures.write(root / folder / "Overlay" / f"{stem}.png", pictures.draw()[0])
    found = crag.examples(tmp_path)
    same(found, expected)
    assert [example.split for example in found] == ["train", "train", "test"]


def test_another_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match=r"(?s)found:    train.*CRAG/\{train,valid\}"):
        crag.examples(tmp_path)
