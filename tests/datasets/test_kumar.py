"""KUMAR in both distributions."""

from pathlib import Path

import numpy as np
from PIL import Image

from jaxseg.datasets import kumar

XML = """<Annotations MicronsPerPixel="0.252"><Annotation Id="1"><Regions>
<Region Id="1"><Vertices><Vertex X="1.0" Y="1.0"/><Vertex X="5.0" Y="1.0"/><Vertex X="5.0" Y="4.0"/>
<Vertex X="1.0" Y="4.0"/></Vertices></Region>
<Region Id="2"><Vertices><Vertex X="4.0" Y="3.0"/><Vertex X="8.0" Y="3.0"/><Vertex X="8.0" Y="6.0"/>
<Vertex X="4.0" Y="6.0"/></Vertices></Region></Regions></Annotation></Annotations>"""


def _lzw(pictures, file: Path) -> np.ndarray:
    pixels, _ = pictures.draw()
    pictures.write(file, pixels, compression="tiff_lzw")
    with Image.open(file) as image:
        assert image.info["compression"] == "tiff_lzw"
    return pixels


def test_pack_of_hover_net_is_read(tmp_path: Path, pictures, same) -> None:
    expected = {}
    for subset, code in (("train", "18-5592"), ("test_same", "21-5784"), ("test_diff", "AY-A8YK")):
        stem = f"TCGA-{code}-01Z-00-DX1"
        folder = tmp_path / "kumar" / subset
        labels = (0, 1, 300, 1863)  # more than 8 bits
        _, instances = pictures.pair(folder / "Images" / f"{stem}.tif", folder / "Labels" / f"{stem}.mat", labels)
        expected[stem] = _lzw(pictures, folder / "Images" / f"{stem}.tif"), instances
    found = kumar.examples(tmp_path)
    same(found, expected)
    assert [example.subset for example in found] == ["train", "test_same", "test_diff"]
    assert [example.split for example in found] == ["train", "test", "test"]


def test_monuseg_is_sorted_into_subsets_and_others_are_left_out(tmp_path: Path, pictures, same) -> None:
    root = tmp_path / "MoNuSeg 2018 Training Data"
    instances = np.zeros((9, 12), np.int32)
    instances[3:6, 4:8] = 2
    instances[1:4, 1:5] = 1  # the earlier region keeps what both cover
    written = {}
    for code in ("AY-A8YK", "21-5784", "18-5592", "XX-0000"):
        stem = f"TCGA-{code}-01Z-00-DX1"
        written[stem] = _lzw(pictures, root / "Tissue Images" / f"{stem}.tif"), instances
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{stem}.xml").write_text(XML)
    found = kumar.examples(tmp_path)
    order = [f"TCGA-{code}-01Z-00-DX1" for code in ("18-5592", "21-5784", "AY-A8YK")]
    same(found, {stem: written[stem] for stem in order})
    assert [example.subset for example in found] == ["train", "test_same", "test_diff"]


def test_official_ids_are_thirty_different_ones() -> None:
    codes = [code for codes in kumar.IDS.values() for code in codes.split()]
    assert len(set(codes)) == 30
    assert {subset: len(codes.split()) for subset, codes in kumar.IDS.items()} == kumar.DESCRIPTION.subsets
