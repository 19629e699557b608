"""The kind of CPU of this host, as Linux tells it."""

import hashlib
import platform
from pathlib import Path

DESCRIPTION = Path("/proc/cpuinfo")
KIND = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")  # of x86 and of Arm


def model_name() -> str:
    """As its maker calls it; the architecture where that is not told."""
    return _described().get("model name", platform.machine())


def generation() -> str:
    """Such as "family 25 model 17", for makers give several generations one name; "" where it is not told."""
    described = _described()
    words = {"cpu family": "family", "model": "model"}
    return " ".join(f"{word} {described[name]}" for name, word in words.items() if name in described)


def widest() -> str:
    """The widest of "AMX" and "AVX-512" that it has; "" where it has neither, or where that is not told."""
    flags = _flags()
    return "AMX" if "amx_bf16" in flags else "AVX-512" if "avx512f" in flags else ""


def multiplies_bfloat16() -> bool:
    """Whether it multiplies bfloat16 faster than float32; False where that is not told.

    With AMX, and with AVX-512 of AMD; an Intel without AMX took longer in bfloat16 (docs/speed.md).
    """
    flags = _flags()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and is_amd_with_avx512())


def is_amd_with_avx512() -> bool:
    """Whether it is one of AMD's that has AVX-512; False where that is not told."""
    return _described().get("vendor_id") == "AuthenticAMD" and "avx512f" in _flags()


def kind() -> str:
    """Eight hex digits that differ between processors with other instructions."""
    described = _described()
    told = [described.get(name, "") for name in KIND]
    return hashlib.sha256(repr((platform.machine(), told)).encode()).hexdigest()[:8]


def _flags() -> list[str]:
    return _described().get("flags", "").split()


def _described() -> dict[str, str]:
    """What is told of one core, by name; empty on other systems."""
    try:
        lines = DESCRIPTION.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
