"""MATLAB files, text and Aperio outlines."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from scipy import io

from jaxseg.datasets.annotation_files import read_mat, read_outlines, read_text
from jaxseg.errors import InputError


def _xml(file: Path, outlines: list[np.ndarray]) -> Path:
    regions = "".join(
        "<Region><Vertices>" + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in outline) + "</Vertices></Region>"
        for outline in outlines
    )
    file.write_text(f"<Annotations><Annotation><Regions>{regions}</Regions></Annotation></Annotations>")
    return file


def test_outlines_agree_with_a_point_in_polygon_test(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    angles = np.sort(rng.uniform(0, 2 * np.pi, (12, 9)), axis=1)
    radii = rng.uniform(3, 9, (12, 9))
    centres = rng.uniform(-2, 42, (12, 1, 2))  # some reach over the edge, many overlap
    outlines = list(centres + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1))
    rows, columns = np.mgrid[:40, :38]
    pixel_centres = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)
    expected = np.zeros(40 * 38, np.int32)
    for number, outline in enumerate(outlines, start=1):
        inside = Outline(outline, closed=False).contains_points(pixel_centres)
        expected[inside & (expected == 0)] = number
    found = read_outlines(_xml(tmp_path / "x.xml", outlines), (40, 38))
    np.testing.assert_array_equal(found, expected.reshape(40, 38), strict=True)
    assert len(np.unique(found)) > 8


def test_outlines_without_area_have_no_number(tmp_path: Path) -> None:
    square = np.array([(1, 1), (3, 1), (3, 3), (1, 3)])
    file = _xml(tmp_path / "x.xml", [square[:2], square / 100, square])
    assert np.unique(read_outlines(file, (5, 5))).tolist() == [0, 1]


@pytest.mark.parametrize(
    "content", ["<Annotations><Annot", "<other/>", '<Annotations><Region><Vertex X="a" Y="1"/></Region></Annotations>']
)
def test_bad_outlines_are_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.xml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"x\.xml"):
        read_outlines(file, (5, 5))


def test_mat_without_the_key_says_what_is_there(tmp_path: Path) -> None:
    io.savemat(tmp_path / "x.mat", {"type_map": np.zeros((2, 2))})
    with pytest.raises(InputError, match=r"(?s)x\.mat.*type_map.*inst_map"):
        read_mat(tmp_path / "x.mat")


@pytest.mark.parametrize(
    "content", [b"", b"no matlab file at all" * 20, b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\0\2IM"]
)
def test_bad_mat_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.mat: cannot be read .* save with -v7, not -v7\.3"):
        read_mat(tmp_path / "x.mat")


@pytest.mark.parametrize(
    "labels", [np.full((2, 2), 0.5), np.full((2, 2), -1), np.full((2, 2), np.nan), np.zeros((2, 2, 2))]
)
def test_labels_must_be_whole_numbers_in_a_plane(tmp_path: Path, labels: np.ndarray) -> None:
    io.savemat(tmp_path / "x.mat", {"inst_map": labels})
    with pytest.raises(InputError, match=r"x\.mat"):
        read_mat(tmp_path / "x.mat")


@pytest.mark.parametrize("content", ["", "3 2\n0 0 0", "2 2\n0 0 0 0 0", "a b", "-2 -2\n0 0 0 0", "0 0\n"])
def test_text_with_other_numbers_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.txt").write_text(content)
    with pytest.raises(InputError, match=r"x\.txt"):
        read_text(tmp_path / "x.txt")
