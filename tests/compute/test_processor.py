"""Processors are told apart by what programs for them depend on, and by nothing that changes from minute to minute."""

import platform
from pathlib import Path

import pytest

from jaxseg.compute import processor

CORE = """processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: {model}
model name\t: Xeon
cpu MHz\t\t: {speed}
flags\t\t: fpu avx2 {flags}
"""


def _kind(file: Path, model: int = 207, flags: str = "avx512f", speed: str = "2300.000", cores: int = 2) -> str:
    cores_told = [CORE.format(number=number, model=model, flags=flags, speed=speed) for number in range(cores)]
    file.write_text("\n".join(cores_told))
    return processor.kind()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(processor, "DESCRIPTION", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


def test_kinds(file: Path) -> None:
    kind = _kind(file)
    assert kind == _kind(file, speed="3100.5") == _kind(file, cores=64)
    assert (processor.model_name(), processor.generation()) == ("Xeon", "family 6 model 207")
    assert len({kind, _kind(file, flags="avx512f amx_bf16"), _kind(file, model=143)}) == 3


def test_arm(file: Path) -> None:
    file.write_text("processor\t: 0\nFeatures\t: fp asimd\nCPU part\t: 0xd40\n")
    kind = processor.kind()
    assert processor.generation() == ""
    file.write_text("processor\t: 0\nFeatures\t: fp asimd sve\nCPU part\t: 0xd40\n")
    assert processor.kind() != kind


X86 = {"vendor_id": "GenuineIntel", "cpu family": "6", "model": "207", "flags": "fpu avx2"}
ARM = {"CPU implementer": "0x41", "CPU part": "0xd40", "Features": "fp asimd"}


@pytest.mark.parametrize(("told", "name"), [(told, name) for told in (X86, ARM) for name in told])
def test_each_of_these_tells_processors_apart(told: dict[str, str], name: str, file: Path) -> None:
    kinds = set()
    for described in (told, told | {name: told[name] + "1"}):
        file.write_text("".join(f"{key}\t: {value}\n" for key, value in described.items()))
        kinds.add(processor.kind())
    assert len(kinds) == 2


@pytest.mark.parametrize(
    ("vendor", "flags", "widest", "bfloat16"),
    [
        ("GenuineIntel", "avx2 avx512f avx512_bf16 amx_bf16 amx_tile", "AMX", True),
        ("GenuineIntel", "avx2 avx512f avx512_bf16", "AVX-512", False),
        ("AuthenticAMD", "avx2 avx512f avx512_bf16", "AVX-512", True),
        ("AuthenticAMD", "avx2 avx512f", "AVX-512", False),
        ("AuthenticAMD", "avx2", "", False),
    ],
)
def test_what_it_multiplies(vendor: str, flags: str, widest: str, bfloat16: bool, file: Path) -> None:
    file.write_text(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n")
    assert (processor.widest(), processor.multiplies_bfloat16()) == (widest, bfloat16)
    assert processor.is_amd_with_avx512() == (vendor == "AuthenticAMD" and widest == "AVX-512")


def test_not_told(file: Path) -> None:
    assert processor.model_name() == platform.machine()
    assert processor.widest() == ""
    assert len(processor.kind()) == 8
    assert not processor.multiplies_bfloat16()
