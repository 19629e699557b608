"""The kind of CPU of this host, as Linux tells it."""

import hashlib
import platform
from pathlib import Path

DESCRIPTION = Path("/proc/cpuinfo")
KIND = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")  # of x86 and of Arm


def model_name() -> str:
    """As its maker calls it; the architecture where that is not told."""
    return _described().get("model name", platform.machine())


def multiplies_bfloat16() -> bool:
    """Whether this processor has AMX for it; False where that is not told."""
    return "amx_bf16" in _described().get("flags", "").split()


def kind() -> str:
    """Eight hex digits that differ between processors with other instructions."""
    described = _described()
    told = [described.get(name, "") for name in KIND]
    return hashlib.sha256(repr((platform.machine(), told)).encode()).hexdigest()[:8]


def _described() -> dict[str, str]:
    """What is told of one core, by name; empty on other systems."""
    try:
        lines = DESCRIPTION.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
