"""Hostile and broken files: each is refused with a reason, nothing is executed, nothing is left behind."""

import io
import json
import pickle
import pickletools
import struct
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabricated
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from jaxseg.errors import InputError
from weights_convert import pickles, read
from weights_convert.convert import Origin, convert

ORIGIN = Origin(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))


@pytest.fixture(scope="module", autouse=True)
def _compiled(state: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A sound file first, so that no refusal's time holds that of compiling what files are compared by."""
    folder = tmp_path_factory.mktemp("sound")
    convert(fabricated.save(state, folder / "a.pth"), folder / "weights", ORIGIN, name="sound")


class Calls:
    """Pickles to a call of any function with any arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def executed(folder: Path) -> Path:
    """Would exist if a hostile pickle had its way."""
    return folder / "executed"


def rezip(source: Path, target: Path, change: Callable[[str, bytes], bytes], compression: int = 0) -> Path:
    """Write an archive again with changed records."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for record in old.infolist():
            new.writestr(record.filename, change(record.filename, old.read(record)))
    return target


def with_pickle(source: Path, target: Path, content: bytes) -> Path:
    return rezip(source, target, lambda name, old: content if name.endswith("data.pkl") else old)


def global_pickle(module: str, name: str, *arguments: Any) -> bytes:
    """A pickle of protocol 2 that calls module.name; unlike `Calls`, without importing it here."""
    body = pickle.dumps(arguments, 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + body + b"R."


def hostile_calls(folder: Path) -> dict[str, bytes]:
    touch = f"touch {executed(folder)}"
    python = f"open({str(executed(folder))!r}, 'w')"
    return {
        "os.system": global_pickle("os", "system", touch),
        "posix.system": global_pickle("posix", "system", touch),
        "eval": global_pickle("builtins", "eval", python),
        "exec of Python 2": global_pickle("__builtin__", "exec", python),
        "subprocess": global_pickle("subprocess", "check_call", ["sh", "-c", touch]),
        "getattr chain": pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system"), 2),
        "runpy": global_pickle("runpy", "_run_code", python, {}),
        "torch.load": global_pickle("torch.serialization", "load", str(folder)),
        "huge bytearray": global_pickle("builtins", "bytearray", 2**40),
        "numpy array": pickle.dumps(np.ones(3), 2),
        "protocol 4": pickle.dumps(Calls(print, "executed"), 4),
        "module class": global_pickle("torchvision.models.resnet", "ResNet"),
        "INST opcode": b"\x80\x02(ios\nsystem\n.",
    }


CALLS = list(hostile_calls(Path()))


def peak() -> int:
    """Largest memory of this process in kilobytes, since it was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def refused(file: Path, *named: str) -> None:
    """The file is refused within bounds, with a message that names it and the trouble."""
    out = file.parent / "weights"
    beside = sorted(file.parent.iterdir())
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
    before = peak()
    start = time.process_time()
    with pytest.raises(InputError) as error:
        convert(file, out, ORIGIN, name="hostile")
    assert error.value.exit_code == 3
    assert time.process_time() - start < 2
    assert peak() - before < 500 * 1024
    assert sorted(file.parent.iterdir()) == beside
    assert not executed(file.parent).exists()
    message = str(error.value)
    assert str(file) in message
    for name in named:
        assert name in message, message


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_pickles_that_call(kind: str, container: str, resnet18: Path, tmp_path: Path) -> None:
    content = hostile_calls(tmp_path)[kind]
    file = tmp_path / "hostile.pth"
    if container == "zip":
        with_pickle(resnet18, file, content)
    else:
        legacy = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        file.write_bytes(b"".join([*legacy, content, pickle.dumps([], 2)]))
    refused(file, "byte")


def test_a_call_hidden_behind_good_tensors(state: Any, tmp_path: Path) -> None:
    content = dict(state) | {"epoch": Calls(eval, f"open({str(executed(tmp_path))!r}, 'w')")}
    refused(fabricated.save(content, tmp_path / "a.pth"), "eval", "nothing was executed")


def tensor_call(size: tuple[int, ...], stride: tuple[int, ...], elements: int, offset: int = 0) -> bytes:
    """data.pkl of {"conv1.weight": …} with a tensor of any size and stride on storage 0 of `elements` floats."""

    class Storage:
        pass

    class Tensor:
        def __reduce__(self) -> Any:
            arguments = (Storage(), offset, size, stride, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    class Pickler(pickle.Pickler):  # keeps what it wrote in a memo, as torch.save's does
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", elements) if isinstance(value, Storage) else None

    stream = io.BytesIO()
    Pickler(stream, 2).dump({"conv1.weight": Tensor()})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("size", "stride", "elements", "offset", "problem"),
    [
        ((2**20, 2**20), (0, 0), 4, 0, "share memory"),  # four terabytes out of one number
        ((2**20, 2**20), (2**20, 1), 4, 0, "PyTorch refuses it"),
        ((2**40,), (1,), 2**40, 0, "announces a storage that does not fit"),
        ((8, 8), (1, 1), 64, 0, "share memory"),  # overlapping
        ((2, 2), (-2, 1), 64, 3, "PyTorch refuses it"),
        ((2, 2), (2, 1), 64, 2**30, "PyTorch refuses it"),
        ((2, 2), (2, 1), 64, -1, "PyTorch refuses it"),
        ((64,), (1,), 4096, 0, "announces a storage that does not fit"),
    ],
    ids=["stride 0", "too large", "too large storage", "overlap", "negative stride", "far offset", "offset", "storage"],
)
def test_tensors_that_are_larger_than_their_storage(
    size: tuple[int, ...], stride: tuple[int, ...], elements: int, offset: int, problem: str, tmp_path: Path
) -> None:
    file = fabricated.save({"conv1.weight": torch.ones(64)}, tmp_path / "good.pth")
    refused(with_pickle(file, tmp_path / "hostile.pth", tensor_call(size, stride, elements, offset)), problem)


def test_the_fabricated_tensor_call_is_sound_where_it_fits(tmp_path: Path) -> None:
    from weights_convert.read import read

    file = fabricated.save({"conv1.weight": torch.ones(64)}, tmp_path / "good.pth")
    tensors = read(with_pickle(file, tmp_path / "same.pth", tensor_call((8, 8), (8, 1), 64)))
    assert tensors["conv1.weight"].tolist() == np.ones((8, 8)).tolist()


@pytest.mark.parametrize("elements", [2**20, 10**12, 2**70])  # BININT, LONG1
def test_a_storage_larger_than_the_file_is_told_before_pytorch_reads_it(elements: int) -> None:
    content = tensor_call((64,), (1,), elements)
    names = [opcode.name for opcode, _, _ in pickletools.genops(content)]
    place = names.index("BINPERSID")
    assert names[place - 2 : place] == ["TUPLE", "BINPUT"]  # a memo's place stands between
    with pytest.raises(InputError, match=rf"(?s)a\.pth: the pickle announces a storage.*{elements} elements.*remedy"):
        pickles.check(content, 1, Path("a.pth"), 2**20 - 1)
    if elements == 2**20:
        pickles.check(content, 1, Path("a.pth"), elements)


def test_large_numbers_beside_storages_are_no_storages(tmp_path: Path) -> None:
    from weights_convert.read import read

    content = {"seed": 2**62, "w": torch.ones(3), "seeds": [2**63, 1], "b": torch.ones(2)}
    for legacy in (False, True):
        assert read(fabricated.save(content, tmp_path / "a.pth", legacy=legacy)).keys() == {"w", "b"}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("part", [k / 20 for k in range(20)])
def test_truncated(part: float, legacy: bool, state: Any, tmp_path: Path) -> None:
    file = fabricated.save(state, tmp_path / "a.pth", legacy=legacy)
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    refused(file)


@pytest.mark.parametrize("missing", [1, 30, 2000])
def test_truncated_near_the_end(missing: int, resnet18: Path) -> None:
    resnet18.write_bytes(resnet18.read_bytes()[:-missing])
    refused(resnet18)


def test_flipped_bytes_in_the_data(resnet18: Path, tmp_path: Path) -> None:
    content = bytearray(resnet18.read_bytes())
    content[len(content) // 2] ^= 0x10
    (tmp_path / "flipped.pth").write_bytes(content)
    refused(tmp_path / "flipped.pth", "checksum", "data/")


@pytest.mark.parametrize("place", [0, 10, 16, 20, 24, 28, 46])
def test_one_flipped_byte_in_the_index(place: int, resnet18: Path, tmp_path: Path) -> None:
    """Signature, compression, checksum, two sizes, length of the name, name: of the last record in the index."""
    content = bytearray(resnet18.read_bytes())
    content[content.rindex(b"PK\x01\x02") + place] ^= 0x40
    (tmp_path / "flipped.pth").write_bytes(content)
    refused(tmp_path / "flipped.pth")


@pytest.mark.parametrize("part", [k / 20 for k in range(20)])
def test_flipped_bytes_in_the_index_of_safetensors(part: float, state: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(state, file)
    content = bytearray(file.read_bytes())
    content[8 + int(part * int.from_bytes(content[:8], "little"))] ^= 0xFF
    file.write_bytes(content)
    refused(file)


def test_flipped_bytes_in_the_index(resnet18: Path, tmp_path: Path) -> None:
    content = bytearray(resnet18.read_bytes())
    start = content.rindex(b"PK\x01\x02", 0, len(content) - 200)
    for place in range(start, start + 40):
        content[place] ^= 0xFF
    (tmp_path / "flipped.pth").write_bytes(content)
    refused(tmp_path / "flipped.pth")


def test_a_compressed_archive(resnet18: Path, tmp_path: Path) -> None:
    file = rezip(resnet18, tmp_path / "bomb.pth", lambda name, old: old, zipfile.ZIP_DEFLATED)
    refused(file, "not compressed")


def test_a_single_compressed_record(resnet18: Path, tmp_path: Path) -> None:
    """No larger in all than the file; mapped into memory its bytes would be taken for numbers."""
    file = tmp_path / "packed.pth"
    with zipfile.ZipFile(resnet18) as old, zipfile.ZipFile(file, "w") as new:
        for record in old.infolist():
            packed = record.filename.endswith("data/0")
            new.writestr(record.filename, old.read(record), zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    refused(file, "1 of them compressed", "data/0")


def test_two_records_of_one_name(resnet18: Path, tmp_path: Path) -> None:
    file = tmp_path / "twice.pth"
    file.write_bytes(resnet18.read_bytes())
    with zipfile.ZipFile(file, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith("data/0"))
        content = archive.read(name)[::-1]
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, content)
    refused(file, "distinct names")


def test_a_pickle_that_is_too_long(resnet18: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "LONGEST", 100)
    refused(rezip(resnet18, tmp_path / "long.pth", lambda name, old: old), "data.pkl' is too long", "at most 100")


def test_a_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}." + bytes(50 << 20))
    refused(tmp_path / "bomb.pth", "not compressed")


def test_other_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "office.pth", "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    refused(tmp_path / "office.pth", "0 records data.pkl", "remedy")


@pytest.mark.parametrize("code", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["former", "present"])
def test_torchscript(code: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"\x80\x02}.")
        archive.writestr("script/code/__torch__/net.py", "def forward(self): pass\n", code)
        archive.writestr("script/constants.pkl", b"\x80\x02).")
    refused(tmp_path / "script.pt", "TorchScript")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 102530333\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"just some notes about weights\n", "text"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "89 48 44 46"),
    ],
    ids=["empty", "LFS pointer", "web page", "text", "HDF5"],
)
def test_other_content(content: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "resnet50.pth").write_bytes(content)
    refused(tmp_path / "resnet50.pth", word)


def test_a_directory_and_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    refused(tmp_path / "folder.pth", "directory")
    refused(tmp_path / "none.pth", "no such file")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([torch.ones(3)], "holds a list"),
        (torch.ones(3), "one tensor without a name"),
        ({"epoch": 3}, "no tensors"),
        (7, "holds a int"),
    ],
    ids=["list", "tensor", "no tensors", "number"],
)
def test_files_without_named_tensors(content: Any, problem: str, tmp_path: Path) -> None:
    refused(fabricated.save(content, tmp_path / "a.pth"), problem, "remedy")


def test_two_tensors_of_one_name(state: Any, tmp_path: Path) -> None:
    content = {"state_dict": state, "state_dict/conv1.weight": state["conv1.weight"] * 5}
    refused(
        fabricated.save(content, tmp_path / "a.pth"), "two tensors of one name", "state_dict/conv1.weight", "remedy"
    )


def test_too_many_tensors(tmp_path: Path) -> None:
    one = torch.ones(1)
    refused(fabricated.save({f"t{number}": one for number in range(20_001)}, tmp_path / "a.pth"), "too many tensors")


def test_too_many_tensors_of_safetensors(state: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MOST_TENSORS", len(state) - 1)
    save_file(state, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "too many tensors")


@pytest.mark.parametrize("kind", ["index too long", "not JSON", "offsets outside", "overlap", "truncated"])
def test_broken_safetensors(kind: str, state: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(state, file)
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    index, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    if kind == "offsets outside":
        index["conv1.weight"]["data_offsets"][1] += len(data)
    elif kind == "overlap":
        index["conv1.weight"]["data_offsets"] = index["layer1.0.conv1.weight"]["data_offsets"]
    text = json.dumps(index).encode() if kind != "not JSON" else b"{" * length
    size = 2**60 if kind == "index too long" else len(text)
    file.write_bytes(struct.pack("<Q", size) + text + (data[:-100] if kind == "truncated" else data))
    refused(file)


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_safetensors_of_eight_bits(kind: torch.dtype, state: Any, tmp_path: Path) -> None:
    save_file(state | {"conv1.weight": state["conv1.weight"].to(kind)}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "'conv1.weight' is of a type that is not read", "F8_E", "float32")


NAMED = {
    "missing": "layer4.1.bn2.running_var",
    "surplus": "layer4.1.attention.weight",
    "renamed": "layer4.1.norm2.bias",
    "misshaped": "layer4.1.bn2.bias",
    "NaN": "layer4.1.bn2.bias",
    "wrong depth": "(2, 2, 2, 1) blocks",
    "overflow": "stage4",
}


@pytest.mark.parametrize("kind", NAMED)
def test_spoilt_weights_leave_nothing_behind(kind: str, state: Any, tmp_path: Path) -> None:
    content = {name: tensor.clone() for name, tensor in state.items()}
    if kind == "missing":
        del content["layer4.1.bn2.running_var"]
    elif kind == "surplus":
        content["layer4.1.attention.weight"] = torch.ones(2)
    elif kind == "renamed":
        content["layer4.1.norm2.bias"] = content.pop("layer4.1.bn2.bias")
    elif kind == "misshaped":
        content["layer4.1.bn2.bias"] = content["layer4.1.bn2.bias"][:-1]
    elif kind == "NaN":
        content["layer4.1.bn2.bias"][0] = float("nan")
    elif kind == "wrong depth":
        content = {name: x for name, x in content.items() if not name.startswith("layer4.1")}
    else:
        content["layer4.1.conv2.weight"] *= 3e38
    refused(fabricated.save(content, tmp_path / "a.pth"), NAMED[kind])
