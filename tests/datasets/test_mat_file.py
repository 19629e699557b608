"""MATLAB files against SciPy, which writes and reads them too; damaged ones end in an error, never in a crash."""

import io as streams
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy import io

from jaxseg.datasets.annotation_files import read_mat
from jaxseg.datasets.mat_file import variables
from jaxseg.errors import InputError


def _written(compressed: bool = False, **content: object) -> bytes:
    stream = streams.BytesIO()
    io.savemat(stream, content, do_compression=compressed)
    return stream.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "?"])
def test_arrays_are_those_of_scipy(kind: str, compressed: bool) -> None:
    values = np.random.default_rng(0).integers(0, 120, (5, 7)).astype(kind)
    content = _written(compressed, first=np.ones((1, 3)), inst_map=values, type_map=values[:, :1])
    found = dict(variables(content))
    assert list(found) == ["first", "inst_map", "type_map"]
    for name, expected in io.loadmat(streams.BytesIO(content)).items():
        if not name.startswith("__"):
            np.testing.assert_array_equal(found[name], expected)


def test_a_large_map_with_its_usual_neighbours(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 1864, (100, 90))
    cells = np.empty((2, 1), object)
    cells[:] = [[np.ones(3)], ["text"]]
    extra = {"inst_centroid": np.ones((1863, 2)), "note": "text", "info": {"a": 1.0}, "names": cells}
    (tmp_path / "x.mat").write_bytes(_written(True, **extra, inst_map=labels.astype(np.float64)))
    np.testing.assert_array_equal(read_mat(tmp_path / "x.mat"), labels)


@pytest.mark.parametrize("sides", [(2.0, 3.0), (2.0, float("inf"))])
def test_a_shape_that_is_stored_as_doubles_is_refused(tmp_path: Path, sides: tuple[float, float]) -> None:
    whole = _written(inst_map=np.ones((2, 3)))
    place = whole.index(struct.pack("<IIii", 5, 8, 2, 3))  # type int32, 8 bytes: 2, 3
    matrix = whole[136:place] + struct.pack("<IIdd", 9, 16, *sides) + whole[place + 16 :]
    (tmp_path / "x.mat").write_bytes(whole[:128] + struct.pack("<II", 14, len(matrix)) + matrix)
    with pytest.raises(InputError, match=r"(?s)x\.mat: cannot be read.*shape is stored as float64.*remedy"):
        read_mat(tmp_path / "x.mat")


def test_damage_that_only_the_lost_checksum_would_show_is_refused(tmp_path: Path) -> None:
    whole = _written(True, inst_map=np.ones((6, 5)))
    packed = whole[136:-4]  # without zlib's sum over the content
    (tmp_path / "x.mat").write_bytes(whole[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(InputError, match=r"x\.mat: cannot be read .*ends within an array"):
        read_mat(tmp_path / "x.mat")


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_anywhere_is_an_error_or_harmless(tmp_path: Path, compressed: bool) -> None:
    rng = np.random.default_rng(7)
    whole = _written(compressed, inst_map=rng.integers(0, 9, (6, 5)), type_map=np.ones((2, 2)))
    refused = 0
    for trial in range(600):
        content = bytearray(whole)
        if trial % 3:
            for place in rng.integers(120, len(content), trial % 3 * 2):
                content[place] = rng.integers(0, 256)
        else:
            del content[rng.integers(0, len(content)) :]
        (tmp_path / "x.mat").write_bytes(content)
        try:
            assert read_mat(tmp_path / "x.mat").ndim == 2
        except InputError:
            refused += 1
    assert refused > 200
