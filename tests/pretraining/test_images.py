"""The survey of a folder: what it measures, what it packs, what it refuses."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxseg.errors import InputError, UnreadableError
from jaxseg.pretraining import images
from jaxseg.pretraining.images import survey


def test_statistics_are_those_of_all_pixels(image_folder: Path) -> None:
    found = survey(image_folder, "**/*", 32)
    pixels = [np.asarray(Image.open(file)).reshape(-1, 3) / 255 for file in sorted(image_folder.rglob("*.png"))]
    everything = np.concatenate(pixels)
    np.testing.assert_allclose(found.mean, everything.mean(0), atol=1e-9)
    np.testing.assert_allclose(found.std, everything.std(0), atol=1e-9)
    assert found.bytes == sum(file.stat().st_size for file in image_folder.rglob("*.png"))
    assert len(found.files) == 10
    assert list(found.files) == sorted(found.files)


def test_suffixes_may_be_in_capitals_and_what_is_hidden_is_no_image(image_folder: Path, tmp_path: Path) -> None:
    shutil.copy(image_folder / "tile_0.png", tmp_path / "TILE_0.PNG")
    (tmp_path / "._TILE_0.PNG").write_bytes(b"of a Mac")
    assert survey(tmp_path, "*", 32).files == (tmp_path / "TILE_0.PNG",)


def test_an_image_may_be_as_small_as_is_asked_for(image_folder: Path) -> None:
    assert len(survey(image_folder, "**/*", 40).files) == 10
    with pytest.raises(InputError, match="7 of the images are too small"):
        survey(image_folder, "**/*", 41)


def test_the_stack_holds_every_pixel_and_empty_masks(image_folder: Path) -> None:
    found = survey(image_folder, "**/*", 32)
    stack = found.stack()
    words = np.asarray(stack.pixels)
    assert words.shape == (10, 64, 50)
    for number, file in enumerate(found.files):
        pixels = np.asarray(Image.open(file)).astype(np.uint32)
        height, width = stack.sizes[number]
        assert (height, width) == pixels.shape[:2]
        packed = pixels[..., 0] | pixels[..., 1] << 8 | pixels[..., 2] << 16
        np.testing.assert_array_equal(words[number, :height, :width], packed)
        assert not words[number, height:].any()


def test_an_image_on_its_side_is_packed_upright(image_folder: Path, tmp_path: Path) -> None:
    pixels = np.asarray(Image.open(image_folder / "tile_0.png"))  # 40 x 50
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "lying.png", exif=exif)
    found = survey(tmp_path, "**/*", 32)
    assert found.sizes.tolist() == [[50, 40]]
    words = np.asarray(found.stack().pixels)
    np.testing.assert_array_equal(words[0] & 255, np.rot90(pixels[..., 0], -1))


def test_a_pattern_chooses(image_folder: Path) -> None:
    assert len(survey(image_folder, "slide/*", 32).files) == 2


def test_the_digest_tells_content_and_name(image_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(image_folder, copy)
    assert survey(copy, "**/*", 32).sha256 == survey(image_folder, "**/*", 32).sha256
    (copy / "tile_0.png").rename(copy / "tile_00.png")
    assert survey(copy, "**/*", 32).sha256 != survey(image_folder, "**/*", 32).sha256
    shutil.copy(image_folder / "tile_3.png", copy / "tile_0.png")
    (copy / "tile_00.png").unlink()
    assert survey(copy, "**/*", 32).sha256 != survey(image_folder, "**/*", 32).sha256


def damage(folder: Path) -> None:
    file = folder / "tile_3.png"
    file.write_bytes(file.read_bytes()[:200])


def shrink(folder: Path) -> None:
    Image.new("RGB", (50, 20), (200, 90, 150)).save(folder / "tile_3.png")


def annotate(folder: Path) -> None:
    Image.fromarray(np.eye(60, dtype=np.uint8) * 255).save(folder / "tile_3.png")


@pytest.mark.parametrize(
    ("spoil", "words"), [(damage, "undamaged"), (shrink, "smaller --crop"), (annotate, "--pattern")]
)
def test_bad_images_are_named_with_a_remedy(
    image_folder: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(image_folder, copy)
    spoil(copy)
    with pytest.raises(InputError, match=r"tile_3\.png") as caught:
        survey(copy, "**/*", 32)
    assert words in str(caught.value)
    assert "remedy" in str(caught.value)


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(image_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(image_folder, copy)
    (copy / "moved.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"moved\.png: no such file"):
        survey(copy, "**/*", 32)


def test_links_to_folders_are_not_passed_over_in_silence(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "slide_1").symlink_to(image_folder)
    shutil.copytree(image_folder / "slide", tmp_path / "slide_2")
    with pytest.raises(InputError, match=r"(?s)slide_1: is a link to a folder.*1 such link.*--pattern '\*/\*'"):
        survey(tmp_path, "**/*", 32)
    assert len(survey(tmp_path, "*/*", 32).files) == 8 + 2


def test_a_folder_that_cannot_be_read_is_not_passed_over_in_silence(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = os.scandir

    def forbid(path: str) -> object:
        if Path(path).name == "slide":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", forbid)  # root may read everything
    with pytest.raises(UnreadableError, match=r"slide: cannot be read: Permission denied"):
        survey(image_folder, "**/*", 32)


def test_links_where_a_pattern_does_not_search_stop_nothing(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder, tmp_path / "tiles" / "lab")
    (tmp_path / "tiles" / ".venv").mkdir()
    for link in (tmp_path / "annotations", tmp_path / "tiles" / ".venv" / "lib64"):
        link.symlink_to(image_folder)
    assert len(survey(tmp_path, "tiles/**/*", 32).files) == 10
    (tmp_path / "tiles" / "lab" / "more").symlink_to(image_folder)
    for pattern in ("tiles/**/*", "*/**/tile_*"):
        with pytest.raises(InputError, match=r"more: is a link to a folder"):
            survey(tmp_path, pattern, 32)


def test_images_at_the_top_of_a_disk_are_found(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(top: Path, onerror: Callable[[OSError], None]) -> list[tuple[Path, list[str], list[str]]]:
        onerror(PermissionError(errno.EACCES, "Permission denied", str(top / "lost+found")))
        return []

    monkeypatch.setattr(os, "walk", walk)  # root may read everything
    assert len(survey(image_folder, "**/*", 32).files) == 10


@pytest.mark.parametrize("spread", [(0, 0, 0), (50, 50, 0)])
def test_images_of_which_a_colour_is_the_same_throughout_are_refused(tmp_path: Path, spread: tuple[int, ...]) -> None:
    for number in range(2):
        draw = np.random.default_rng(number).integers(0, np.add(spread, 1), (64, 64, 3))
        Image.fromarray(np.uint8(draw + np.array((200, 120, 180)))).save(tmp_path / f"{number}.png")
    with pytest.raises(InputError, match=r"(?s)the same in all pixels.*deviations of red, green and blue.*remedy"):
        survey(tmp_path, "**/*", 32)


@pytest.mark.parametrize("pattern", ["*.bmp", "/tile*", ""])
def test_no_images(image_folder: Path, pattern: str) -> None:
    with pytest.raises(InputError, match="--pattern"):
        survey(image_folder, pattern, 32)


def test_images_beyond_memory_are_refused(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = survey(image_folder, "**/*", 32)  # 7 bytes for each of 10 x 64 x 50 pixels
    monkeypatch.setattr(images, "memory", lambda: 400_000)
    found.stack()
    monkeypatch.setattr(images, "memory", lambda: 300_000)
    with pytest.raises(InputError, match="tiles of one size"):
        found.stack()
