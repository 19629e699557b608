"""Predictions on files: what is written, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxseg
from jaxseg.errors import InputError, UsageError
from jaxseg.inference.on_files import predict_files
from jaxseg.run_folder import RunFolder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "tile.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(file)
    return file


def test_probability_mask_and_overlay(finished: RunFolder, image: Path, tmp_path: Path) -> None:
    predict_files(finished.path, [image], tmp_path / "out")
    (expected,) = jaxseg.load(finished.path).predict([np.asarray(Image.open(image))])
    probability = np.asarray(Image.open(tmp_path / "out/tile_probability.png"))
    np.testing.assert_allclose(probability / 255, expected, atol=0.51 / 255)
    mask = np.asarray(Image.open(tmp_path / "out/tile_mask.png"))
    np.testing.assert_array_equal(mask, 255 * (expected >= 0.5))
    assert np.asarray(Image.open(tmp_path / "out/tile_overlay.png")).shape == (70, 50, 3)


def test_a_threshold_of_ones_own(finished: RunFolder, image: Path, tmp_path: Path) -> None:
    (expected,) = jaxseg.load(finished.path).predict([np.asarray(Image.open(image))])
    threshold = float(np.median(expected))
    predict_files(finished.path, [image], tmp_path / "out", threshold=threshold)
    mask = np.asarray(Image.open(tmp_path / "out/tile_mask.png"))
    np.testing.assert_array_equal(mask, 255 * (expected >= threshold))
    with pytest.raises(UsageError, match="bad threshold"):
        predict_files(finished.path, [image], tmp_path / "out", threshold=1.0)


def test_results_lie_as_viewers_show_the_image(finished: RunFolder, image: Path, tmp_path: Path) -> None:
    stored = np.asarray(Image.open(image))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    Image.fromarray(stored).save(tmp_path / "lying.png", exif=exif)
    Image.fromarray(np.rot90(stored, -1)).save(tmp_path / "upright.png")
    predict_files(finished.path, [tmp_path / "lying.png", tmp_path / "upright.png"], tmp_path / "out")
    for result in ("probability", "mask", "overlay"):
        lying, upright = (Image.open(tmp_path / f"out/{name}_{result}.png") for name in ("lying", "upright"))
        assert lying.size == (70, 50)
        np.testing.assert_array_equal(lying, upright)
        assert 0x0112 not in lying.getexif()


def test_a_stack_of_pages_is_refused(finished: RunFolder, tmp_path: Path) -> None:
    page = Image.new("RGB", (50, 70))
    page.save(tmp_path / "stack.tif", save_all=True, append_images=[page])
    with pytest.raises(InputError, match=r"stack\.tif: holds several pages"):
        predict_files(finished.path, [tmp_path / "stack.tif"], tmp_path / "out")


def test_an_unreadable_image_is_named(finished: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(InputError, match=r"bad\.png"):
        predict_files(finished.path, [tmp_path / "bad.png"], tmp_path / "out")


def test_unreadable_images_cost_no_other_its_results(
    finished: RunFolder, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image.parent / "a_bad.png").write_text("no image")
    Image.new("I;16", (40, 40)).save(image.parent / "z_deep.png")
    with pytest.raises(InputError, match=r"2 of 3 images have no results(.|\n)*a_bad\.png(.|\n)*z_deep\.png"):
        predict_files(finished.path, [image.parent], tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").glob("*_mask.png")} == {"tile_mask.png"}
    assert "1 image -> " in capsys.readouterr().out


def test_two_results_of_one_name_are_refused(finished: RunFolder, image: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same name"):
        predict_files(finished.path, [image, image.parent], tmp_path / "out")


def test_an_empty_folder_is_refused(finished: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no images there"):
        predict_files(finished.path, [tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(UsageError, match="no images are given"):
        predict_files(finished.path, [], tmp_path / "out")


def test_a_folder_that_may_not_be_read_is_named(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read whatever its mode is
    with pytest.raises(InputError, match=f"{tmp_path}: cannot be read"):
        predict_files(finished.path, [tmp_path], tmp_path / "out")


def test_annotations_and_earlier_results_in_a_folder_are_no_images(
    finished: RunFolder, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image.with_name("tile_anno.bmp").write_bytes(image.read_bytes())
    image.with_name("stroma_mask.png").write_bytes(image.read_bytes())  # of no image there
    some = (
        "1 file (tile_anno.bmp)",
        "7 files (stroma_mask_mask.png, stroma_mask_overlay.png, stroma_mask_probability",
    )
    for left_out in some:  # the second time, three results of each of two images as well
        predict_files(finished.path, [image.parent], image.parent)
        printed = capsys.readouterr().out
        assert left_out in printed
        assert "2 images ->" in printed
    assert {file.name for file in image.parent.glob("*_overlay.png")} == {"tile_overlay.png", "stroma_mask_overlay.png"}


def test_hidden_files_in_a_folder_are_no_images(finished: RunFolder, image: Path, tmp_path: Path) -> None:
    image.with_name("._tile.png").write_bytes(b"\0\5\x16\7 as macOS leaves them")
    predict_files(finished.path, [image.parent], tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").glob("*_mask.png")} == {"tile_mask.png"}


def test_an_annotation_given_by_name_is_predicted(finished: RunFolder, image: Path, tmp_path: Path) -> None:
    annotation = image.with_name("tile_anno.png")
    annotation.write_bytes(image.read_bytes())
    predict_files(finished.path, [annotation], tmp_path / "out")
    assert (tmp_path / "out/tile_anno_mask.png").exists()


@pytest.mark.parametrize("companion", ["tile_mask.png", "tile_overlay.png"])
def test_a_file_that_is_no_result_is_not_replaced(finished: RunFolder, image: Path, companion: str) -> None:
    theirs = image.with_name(companion)
    theirs.write_bytes(image.read_bytes())
    before = {file.name: file.read_bytes() for file in image.parent.iterdir()}
    with pytest.raises(
        UsageError, match=f"{companion}: would be replaced by a result(.|\n)*found: +1 file (.|\n)*--out"
    ):
        predict_files(finished.path, [image.parent], image.parent)
    assert {file.name: file.read_bytes() for file in image.parent.iterdir()} == before


def test_a_result_that_is_to_be_predicted_itself_is_not_replaced(finished: RunFolder, image: Path) -> None:
    predict_files(finished.path, [image], image.parent)
    with pytest.raises(UsageError, match=r"tile_mask\.png: would be replaced"):
        predict_files(finished.path, [image, image.with_name("tile_mask.png")], image.parent)


def test_repeating_replaces_former_results(finished: RunFolder, image: Path, tmp_path: Path) -> None:
    predict_files(finished.path, [image], tmp_path / "out", threshold=0.001)
    former = (tmp_path / "out/tile_mask.png").read_bytes()
    predict_files(finished.path, [image], tmp_path / "out", threshold=0.999)
    assert (tmp_path / "out/tile_mask.png").read_bytes() != former


def test_a_name_that_leaves_no_room_for_what_results_are_called_is_told(
    finished: RunFolder, image: Path, tmp_path: Path
) -> None:
    long = image.rename(image.with_name("n" * 239 + ".png"))
    predict_files(finished.path, [long], tmp_path / "out")  # as long as names may be
    assert (tmp_path / "out" / f"{long.stem}_overlay.png").exists()
    longer = long.rename(image.with_name("n" * 250 + ".png"))
    with pytest.raises(InputError, match=r"nnn_probability\.png: cannot be written: File name too long(.|\n)*shorter"):
        predict_files(finished.path, [longer], tmp_path / "out")
