"""Cores and memory within the limits of control groups, of both versions, as containers and jobs set them."""

import os
from pathlib import Path

import pytest

from jaxseg.compute import host

GIGA = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(host, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(host, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 256 * GIGA // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    return tmp_path


def write(groups: Path, **files: str) -> None:
    for name, content in files.items():
        file = groups / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")


def test_without_limits_all_of_the_host(groups: Path) -> None:
    assert (host.usable_cores(), host.memory()) == (64, 256 * GIGA)
    write(groups, membership="0::/", cpu_dot_max="max 100000", memory_dot_max="max")
    assert (host.usable_cores(), host.memory()) == (64, 256 * GIGA)


def test_limits_of_a_container(groups: Path) -> None:
    write(groups, membership="0::/", cpu_dot_max="400000 100000", memory_dot_max=str(8 * GIGA))
    assert (host.usable_cores(), host.memory()) == (4, 8 * GIGA)


def test_the_narrowest_of_the_groups_around_a_process_counts(groups: Path) -> None:
    write(groups, membership="0::/slurm/job_7/step_0", slurm__job_7__memory_dot_max=str(16 * GIGA))
    write(groups, slurm__job_7__step_0__memory_dot_max="max", slurm__memory_dot_max=str(200 * GIGA))
    write(groups, slurm__job_7__cpu_dot_max="50000 100000")
    assert (host.usable_cores(), host.memory()) == (1, 16 * GIGA)


def test_limits_of_the_first_version(groups: Path) -> None:
    write(groups, membership="5:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n1:name=systemd:/")
    write(groups, memory__docker__1f__memory_dot_limit_in_bytes=str(8 * GIGA))
    write(groups, memory__memory_dot_limit_in_bytes="9223372036854771712")
    write(groups, cpu__cpu_dot_cfs_quota_us="-1", cpu__cpu_dot_cfs_period_us="100000")
    assert (host.usable_cores(), host.memory()) == (64, 8 * GIGA)
    write(groups, cpu__docker__1f__cpu_dot_cfs_quota_us="270000", cpu__docker__1f__cpu_dot_cfs_period_us="100000")
    assert (host.usable_cores(), host.memory()) == (2, 8 * GIGA)
