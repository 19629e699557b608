"""What this process may use of its host: cores and main memory, within the limits of its container or job."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")  # lines such as "0::/docker/1f" (version 2) or "4:memory:/docker/1f" (version 1)


def usable_cores() -> int:
    """Those that it may run on, or as many as its share of processor time is worth; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *map(int, _shares())]))


def memory() -> int:
    """Bytes of main memory."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [*_read("memory", "memory.limit_in_bytes"), *_read("", "memory.max")]
    return min([whole, *(int(text) for text in texts if text.isdigit())])


def _shares() -> Iterator[float]:
    """Processor time over time, of each group that limits it."""
    first = zip(_read("cpu", "cpu.cfs_quota_us"), _read("cpu", "cpu.cfs_period_us"), strict=False)
    for quota, period in [*first, *(text.split() for text in _read("", "cpu.max"))]:
        if quota.isdigit() and int(period) > 0:  # not "max" or -1
            yield int(quota) / int(period)


def _read(controller: str, name: str) -> list[str]:
    """What stands in the files of that name, of the process's group and those around it; none where there are none."""
    try:
        lines = [line.split(":", 2) for line in MEMBERSHIP.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, controllers, group in lines:
        if controller in controllers.split(","):
            inner = Path(controller, group.lstrip("/"))
            found += [CONTROL_GROUPS / each / name for each in (inner, *inner.parents)]
    texts = []
    for file in found:
        with contextlib.suppress(OSError):  # not there, or not for this user to read: no limit that could be told
            texts.append(file.read_text().strip())
    return texts
