"""CPM17 in both forms; the same stems stand in both splits."""

from pathlib import Path

from jaxseg.datasets import cpm17


def test_pack_keeps_equal_stems_apart(tmp_path: Path, pictures, same) -> None:
    expected = {}
    for split in ("train", "test"):
        for stem in ("image_00", "image_01"):
            folder = tmp_path / "cpm17" / split
            written = pictures.pair(folder / "Images" / f"{stem}.png", folder / "Labels" / f"{stem}.mat")
            expected[f"{split}_{stem}"] = written
    found = cpm17.examples(tmp_path)
    same(found, expected)
    assert [example.split for example in found] == ["train", "train", "test", "test"]
    assert len({example.patient for example in found}) == 4


def test_form_of_the_contest_is_read_row_by_row(tmp_path: Path, pictures, same) -> None:
    expected = {}
    for split, folder in (("train", "segmentation_training_set"), ("test", "segmentation_test_set")):
        pixels, instances = pictures.draw(height=4, width=7, labels=(0, 5, 70000))
        pictures.write(tmp_path / folder / "image_00.png", pixels)
        pictures.write(tmp_path / folder / "image_00_poly.png", pixels)  # a drawing of the outlines
        lines = "\n".join(str(label) for row in instances for label in row)
        (tmp_path / folder / "image_00_mask.txt").write_text(f"7 4\n{lines}\n")
        expected[f"{split}_image_00"] = pixels, instances
    same(cpm17.examples(tmp_path), expected)
