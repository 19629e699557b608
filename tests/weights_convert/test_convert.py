"""From a file to a folder with a receipt: complete, compared with PyTorch, or refused."""

import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import fabricated
import numpy as np
import pytest

from jaxseg.config import DEPTHS, ModelConfig
from jaxseg.errors import InputError, UsageError
from jaxseg.models import encoder_weights, golden
from jaxseg.models.receipt import Receipt
from jaxseg.storage import arrays
from weights_convert import comparison, sources
from weights_convert.convert import Origin, convert
from weights_convert.verify import summary, verify, verify_against

NARROW = ModelConfig(18, fabricated.NARROW / 64)
OWN = Origin(mean=(0.7, 0.5, 0.6), std=(0.2, 0.3, 0.2), licence="CC0")
LUNIT = Origin(source="ssl_pathology", allow_other_file=True)


@pytest.mark.parametrize("depth", DEPTHS)
def test_all_stages_agree_with_pytorch(depth: int, tmp_path: Path) -> None:
    file = fabricated.save(fabricated.resnet(depth), tmp_path / "a.pth")
    receipt = Receipt.read(convert(file, tmp_path / "weights", OWN, name="made_up"))
    assert receipt.agreement.keys() == {"stem", "stage1", "stage2", "stage3", "stage4"}
    assert max(receipt.agreement.values()) <= 1e-5
    assert (receipt.depth, receipt.width) == (depth, fabricated.NARROW / 64)


def test_the_receipt_tells_everything(resnet18: Path, state: Any, tmp_path: Path) -> None:
    folder = convert(resnet18, tmp_path / "weights", LUNIT)
    assert folder == tmp_path / "weights" / "ssl_pathology"
    receipt = Receipt.read(folder)
    content = resnet18.read_bytes()
    assert receipt.sha256 == hashlib.sha256(content).hexdigest()
    assert receipt.bytes == len(content)
    assert (receipt.name, receipt.source, receipt.file) == ("ssl_pathology", "ssl_pathology", "resnet18.pth")
    assert receipt.layout == "plain"
    assert receipt.mean == (0.70322989, 0.53606487, 0.66096631)
    assert receipt.std == (0.21716536, 0.26081574, 0.20723464)
    assert "release notes" in receipt.statistics_from
    assert "non-commercial" in receipt.licence
    assert "Kang" in receipt.citation
    assert "ImageNet statistics" in receipt.remarks  # the trap with mirrors
    assert receipt.used.keys() | receipt.dropped.keys() == state.keys()
    assert receipt.filled == len(receipt.used) == len(set(receipt.used.values()))
    assert receipt.used["layer1.0.conv1.weight"] == "params/stage1/block0/conv1/kernel"


def test_models_take_the_converted_weights(resnet18: Path, state: Any, tmp_path: Path) -> None:
    folder = convert(resnet18, tmp_path, OWN, name="made_up")
    weights = encoder_weights.read(tmp_path, "made_up", NARROW)
    assert arrays.digest(weights.tree()) == weights.receipt.arrays_sha256
    np.testing.assert_array_equal(
        weights.params["stage2"]["block0"]["conv1"]["kernel"], state["layer2.0.conv1.weight"].permute(2, 3, 1, 0)
    )
    assert folder.name == weights.receipt.name


@pytest.mark.parametrize("layout", ["Barlow Twins, full", "MoCo", "U-Net in Lightning"])
def test_names_in_the_receipt_are_those_of_the_file(layout: str, state: Any, tmp_path: Path) -> None:
    file = fabricated.save(fabricated.layouts(state)[layout], tmp_path / "a.pth")
    receipt = Receipt.read(convert(file, tmp_path / "weights", OWN, name="made_up"))
    from weights_convert.read import read

    assert receipt.used.keys() | receipt.dropped.keys() == read(file).keys()
    assert all(receipt.dropped.values())


def test_a_file_that_is_not_the_published_one_is_refused(resnet18: Path, tmp_path: Path) -> None:
    found = hashlib.sha256(resnet18.read_bytes()).hexdigest()
    with pytest.raises(InputError) as error:
        convert(resnet18, tmp_path / "weights", Origin(source="imagenet_v2"))
    for part in (found, sources.named("imagenet_v2").sha256[0], "--allow-other-file", "download.pytorch.org"):
        assert part in str(error.value)
    assert not (tmp_path / "weights").exists()
    folder = convert(resnet18, tmp_path / "weights", Origin(source="imagenet_v2", allow_other_file=True))
    assert "NOT the published file" in Receipt.read(folder).remarks


def test_a_published_file_needs_no_source(resnet18: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(resnet18.read_bytes()).hexdigest()
    known = sources.Source(
        *("made_up", "a test", ("resnet18.pth",), "CC0", "nobody", "nowhere", "this test"),
        sha256=(digest[:8],),
        depths=(18,),
    )
    assert not known.published(f"0{digest}"), "hashes are stated by their beginnings"
    monkeypatch.setattr(sources, "SOURCES", (*sources.SOURCES, known))
    receipt = Receipt.read(convert(resnet18, tmp_path / "weights", Origin(allow_other_file=True)))
    assert receipt.source == "made_up"
    assert "published one" in receipt.remarks
    with pytest.raises(UsageError, match="citation and address of made_up are known"):
        convert(resnet18, tmp_path / "weights", Origin(citation="me", allow_other_file=True))
    with pytest.raises(InputError, match="is the file of another source"):
        convert(resnet18, tmp_path / "weights", LUNIT)


def test_another_architecture_than_the_source_publishes_is_refused(resnet18: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not the architecture of ssl_pathology(.|\n)*ResNet18(.|\n)*ResNet50"):
        convert(resnet18, tmp_path, Origin(source="ssl_pathology"))
    with pytest.raises(InputError, match=r"not the architecture of simclr_ciga(.|\n)*width 0\.0625\n(.|\n)*width 1\n"):
        convert(resnet18, tmp_path, Origin(source="simclr_ciga"))


@pytest.mark.parametrize(
    ("origin", "name", "words"),
    [
        (Origin(), "x", "--mean"),
        (Origin(mean=(0.5, 0.5, 0.5)), "x", "--std"),
        (Origin(source="lunit", allow_other_file=True), None, "ssl_pathology"),
        (Origin("ssl_pathology", (0.5,) * 3, (0.5,) * 3), None, "exclude"),
        (Origin("ssl_pathology", licence="MIT", allow_other_file=True), None, "--licence"),
        (Origin(mean=(0.5, 0.5, 0.5), std=(0.2, 0.0, 0.2)), "x", "--std above 0"),
        (Origin(mean=(124.0, 117.0, 104.0), std=(58.0, 57.0, 57.0)), "x", "[0, 1]"),
        (Origin(mean=(-2.1, -2.0, -1.8), std=(0.2, 0.2, 0.2)), "x", "[0, 1]"),
        (Origin(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)), "x", "divide those"),
        (OWN, None, "--name"),
        (OWN, "Not-a-name", "lower-case"),
    ],
)
def test_wrong_use(origin: Origin, name: str | None, words: str, resnet18: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        convert(resnet18, tmp_path / "weights", origin, name)
    assert words in str(error.value)
    assert not (tmp_path / "weights").exists()


def test_weights_of_images_that_were_not_normalised(resnet18: Path, tmp_path: Path) -> None:
    folder = convert(resnet18, tmp_path, Origin(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), name="made_up")
    assert Receipt.read(folder).std == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("least", [0, 2], ids=["all", "kernels"])
def test_weights_of_nought_on_which_any_two_frameworks_agree(state: Any, least: int, tmp_path: Path) -> None:
    nought = {name: tensor * (tensor.ndim < least) for name, tensor in state.items()}
    file = fabricated.save(nought, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"(?s)a\.pth: .*do not see the image.*stem, stage1.*remedy"):
        convert(file, tmp_path / "weights", OWN, name="made_up")
    assert not (tmp_path / "weights").exists()


def test_files_beside_the_weights_are_not_lost(resnet18: Path, tmp_path: Path) -> None:
    source = tmp_path / "made_up" / "downloaded.pth"
    source.parent.mkdir()
    source.write_bytes(resnet18.read_bytes())
    with pytest.raises(UsageError, match=r"(?s)made_up: holds other files.*downloaded\.pth.*remedy"):
        convert(source, tmp_path, OWN, name="made_up")
    assert source.exists()
    (tmp_path / "a_file").write_text("a note")
    with pytest.raises(InputError, match=r"a_file: is a file"):
        convert(source, tmp_path, OWN, name="a_file")
    assert (tmp_path / "a_file").read_text() == "a note"
    folder = convert(source, tmp_path / "weights", OWN, name="made_up")
    shutil.copy(source, folder)
    with pytest.raises(UsageError, match="holds other files"):
        convert(source, tmp_path / "weights", OWN, name="made_up")
    assert (folder / source.name).exists()


def test_what_systems_leave_in_folders_is_no_file_to_be_lost(resnet18: Path, tmp_path: Path) -> None:
    folder = convert(resnet18, tmp_path, OWN, name="made_up")
    for name in (".DS_Store", "._receipt.json", ".nfs00a1", "Thumbs.db", "desktop.ini"):
        (folder / name).touch()
    assert convert(resnet18, tmp_path, OWN, name="made_up") == folder
    (folder / ".notes").touch()
    with pytest.raises(UsageError, match=r"holds other files(.|\n)*found: +\.notes\n"):
        convert(resnet18, tmp_path, OWN, name="made_up")


def test_a_name_never_changes_its_weights(resnet18: Path, tmp_path: Path) -> None:
    folder = convert(resnet18, tmp_path, OWN, name="made_up")
    before = (folder / "receipt.json").read_bytes()
    convert(resnet18, tmp_path, OWN, name="made_up")
    assert (folder / "receipt.json").read_bytes() == before
    other = fabricated.save(fabricated.resnet(18, seed=5), tmp_path / "other.pth")
    with pytest.raises(UsageError, match="holds other weights already"):
        convert(other, tmp_path, OWN, name="made_up")
    same = fabricated.save(fabricated.resnet(18), tmp_path / "same.pth", legacy=True)
    with pytest.raises(UsageError, match=r"holds other weights already\n(.|\n)*expected: sha256 \w+\n"):
        convert(same, tmp_path, OWN, name="made_up")
    assert (folder / "receipt.json").read_bytes() == before


@pytest.mark.parametrize(
    ("origin", "field"),
    [
        (dataclasses.replace(OWN, mean=(0.5, 0.5, 0.5)), "mean (0.5, 0.5, 0.5)"),
        (dataclasses.replace(OWN, std=(0.1, 0.1, 0.1)), "std (0.1, 0.1, 0.1)"),
        (LUNIT, "source ssl_pathology"),
        (dataclasses.replace(OWN, licence="MIT"), "licence MIT"),
    ],
    ids=["mean", "std", "source", "licence"],
)
def test_a_name_never_changes_its_statistics_source_or_terms(
    origin: Origin, field: str, resnet18: Path, tmp_path: Path
) -> None:
    folder = convert(resnet18, tmp_path, OWN, name="made_up")
    before = (folder / "receipt.json").read_bytes()
    with pytest.raises(UsageError, match=rf"holds other weights already(.|\n)*expected:.*{re.escape(field)}"):
        convert(resnet18, tmp_path, origin, name="made_up")
    assert (folder / "receipt.json").read_bytes() == before


@pytest.mark.parametrize("field", ["depth", "width", "arrays_sha256"])
def test_a_name_never_changes_its_arrays(field: str, resnet18: Path, tmp_path: Path) -> None:
    """The same file may be converted otherwise by another version of this program."""
    folder = convert(resnet18, tmp_path, OWN, name="made_up")
    change_receipt(folder, **{field: {"depth": 34, "width": 1.0, "arrays_sha256": "0" * 64}[field]})
    with pytest.raises(UsageError, match=rf"holds other weights already(.|\n)*found:.*{field}"):
        convert(resnet18, tmp_path, OWN, name="made_up")


def test_a_conversion_that_disagrees_is_refused(
    resnet18: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = golden.encoder

    def wrong(*arguments: Any) -> Any:
        maps = sound(*arguments)
        return maps | {"stage3": maps["stage3"] * np.float32(1.0002)}

    monkeypatch.setattr(golden, "encoder", wrong)
    with pytest.raises(InputError, match=r"do not compute what PyTorch computes(.|\n)*stage3 2\.0e-04"):
        convert(resnet18, tmp_path / "weights", OWN, name="made_up")
    assert not (tmp_path / "weights").exists()


def test_relative_difference() -> None:
    expected = np.array([1.0, -4.0], np.float32)
    assert comparison.relative_difference(np.array([1.0, -3.0], np.float32), expected) == 0.25
    assert comparison.relative_difference(np.array([1.0, np.nan], np.float32), expected) == np.inf
    assert comparison.relative_difference(np.zeros(2, np.float32), np.zeros(2, np.float32)) == 0


@pytest.mark.parametrize("difference", [1.01 * comparison.TOLERANCE, np.inf, np.nan])
def test_what_is_not_near_is_refused(difference: float) -> None:
    comparison.refuse_disagreement({"stem": comparison.TOLERANCE}, Path("a.pth"))
    with pytest.raises(InputError, match=r"a\.pth: (.|\n)*found: +stem "):
        comparison.refuse_disagreement({"stem": difference}, Path("a.pth"))


def test_activations_that_became_smaller_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "activations", lambda *_: {"stem": [2.0, 0.9]})
    with pytest.raises(InputError, match=r"what their source computes(.|\n)*stem 5\.0e-02"):
        comparison.recheck({"stem": [2.0, 1.0]}, 18, 1.0, {}, Path("made_up"))


@pytest.fixture
def folder(resnet18: Path, tmp_path: Path) -> Path:
    return convert(resnet18, tmp_path / "weights", OWN, name="made_up")


def test_verify_a_sound_folder(folder: Path, resnet18: Path) -> None:
    verified = verify(folder)
    assert max(verified.differences.values()) <= 1e-5
    assert verified.tensors == verified.receipt.filled
    assert "made_up: sound. ResNet18" in summary(verified)
    verify_against(folder, resnet18)


def change_receipt(folder: Path, **values: Any) -> None:
    file = folder / "receipt.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_verify_notices_exchanged_arrays(folder: Path, tmp_path: Path) -> None:
    tree, _ = arrays.load(folder / "arrays")
    tree["params"]["stem"]["conv"]["kernel"] = tree["params"]["stem"]["conv"]["kernel"][::-1].copy()
    digest = arrays.save(folder / "arrays", tree)
    with pytest.raises(InputError, match="not those of the receipt"):
        verify(folder)
    change_receipt(folder, arrays_sha256=digest)  # even where the receipt is forged, the activations tell
    with pytest.raises(InputError, match=r"do not compute(.|\n)*stem"):
        verify(folder)


def test_verify_says_where_there_is_nothing_to_compare_with(folder: Path) -> None:
    change_receipt(folder, golden={}, agreement={})
    assert "no golden activations" in summary(verify(folder))


def test_verify_notices_another_file(folder: Path, tmp_path: Path) -> None:
    other = fabricated.save(fabricated.resnet(18, seed=5), tmp_path / "other.pth")
    with pytest.raises(InputError, match="is not the file of the receipt"):
        verify_against(folder, other)
    change_receipt(folder, sha256=hashlib.sha256(other.read_bytes()).hexdigest())
    with pytest.raises(InputError, match="differs from the file"):
        verify_against(folder, other)


def test_training_refuses_weights_without_a_sound_receipt(folder: Path) -> None:
    with pytest.raises(InputError, match=r"ResNet18(.|\n)*ResNet34"):
        encoder_weights.read(folder.parent, "made_up", ModelConfig(34, NARROW.width))
    with pytest.raises(InputError, match=r"another ResNet(.|\n)*width 0\.0625\n(.|\n)*width 1\n"):
        encoder_weights.read(folder.parent, "made_up", ModelConfig(18))
    sound = {"mean": [0.7, 0.5, 0.6], "std": [0.2, 0.3, 0.2]}
    for bad in ({"std": [0.2, 0.0, 0.2]}, {"std": [0.2, 0.3]}, {"mean": [0.7] * 4}, {"mean": [0.7, 0.5, np.nan]}):
        change_receipt(folder, **(sound | bad))
        with pytest.raises(InputError, match=r"receipt\.json: is not a complete receipt(.|\n)*std positive"):
            encoder_weights.read(folder.parent, "made_up", NARROW)
    change_receipt(folder, **sound, arrays_sha256="0" * 64)
    with pytest.raises(InputError, match="not those of the receipt"):
        encoder_weights.read(folder.parent, "made_up", NARROW)
    (folder / "receipt.json").unlink()
    with pytest.raises(InputError, match=r"receipt\.json: no such file"):
        encoder_weights.read(folder.parent, "made_up", NARROW)
    with pytest.raises(InputError, match=r"no such weights(.|\n)*pretrain\.py --images DIR --name other --out"):
        encoder_weights.read(folder.parent, "other", NARROW)


def test_statistics_are_those_that_were_published() -> None:
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    lunit = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))
    of_their_own = dict.fromkeys(("ssl_pathology", "lunit_mocov2", "lunit_swav"), lunit)
    of_their_own["simclr_ciga"] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    for source in sources.SOURCES:
        assert (source.mean, source.std) == of_their_own.get(source.name, imagenet), source.name


def test_every_source_is_complete() -> None:
    names = [source.name for source in sources.SOURCES]
    assert len(set(names)) == len(names)
    for source in sources.SOURCES:
        assert all((source.title, source.files, source.licence, source.citation, source.statistics_from))
        assert source.address.startswith("https://")
        assert all(0 < value < 1 for value in source.mean + source.std)
        for file in source.files:  # torchvision's names end in the beginning of the hash
            if source.name.startswith("imagenet"):
                assert any(sha.startswith(file.removesuffix(".pth").split("-")[1]) for sha in source.sha256)
