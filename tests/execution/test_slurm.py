"""What a sweep asks of a cluster before it asks for workers."""

import socket
from pathlib import Path
from typing import Any

import pytest
from parsl.providers import SlurmProvider

from jaxseg.errors import UsageError
from jaxseg.execution.lease import hold_study
from jaxseg.execution.pool import parsl_pool
from jaxseg.execution.resources import Resources
from jaxseg.execution.slurm import Slurm


@pytest.mark.parametrize("address", ["127.0.1.1", None])
def test_a_host_that_nodes_would_not_find_is_refused(
    address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their jobs would start, look for it in vain, and end, one after the other."""

    def look_up(name: str) -> str:
        if address is None:
            raise socket.gaierror("Name or service not known")
        return address

    (tmp_path / "sbatch").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(socket, "gethostbyname", look_up)
    told = rf"found: +{socket.gethostname()}: {address or 'no address'}\n(.|\n)*--slurm\.address"
    with (
        hold_study(tmp_path) as lease,
        pytest.raises(UsageError, match=told),
        parsl_pool(tmp_path, Resources(1), Slurm(), lease),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "lines", "not_lines"),
    [
        ({}, ["--exclusive", "--gpus-per-node=2"], ["--qos"]),
        (
            {"options": ("qos=long", "mem=0", "no-requeue")},
            ["--qos=long", "--mem=0", "--no-requeue", "--exclusive"],
            [],
        ),
        ({"options": ("cpus-per-task=16",), "exclusive": False}, ["--cpus-per-task=16"], ["--exclusive"]),
    ],
)
def test_options_of_sbatch(
    options: dict[str, Any], lines: list[str], not_lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlurmProvider, "execute_wait", lambda *_: (1, "", ""))  # it asks whether there is sacct
    provider = Slurm(**options).provider(2, "")
    asked = provider.scheduler_options.splitlines()
    assert {f"#SBATCH {line}" for line in lines} <= set(asked)
    assert not [line for line in asked if any(other in line for other in not_lines)]
    cores = "SRUN_CPUS_PER_TASK" in provider.worker_init
    assert cores == ("cpus-per-task=16" in options.get("options", ())), (
        "those of the sweep's own job are another matter"
    )


@pytest.mark.parametrize("option", ["--qos=long", "qos long", "qos=a\nrm -r x", "comment='a b'"])
def test_options_that_sbatch_would_not_understand_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match=r"bad value for --slurm\.options"):
        Slurm(options=("mem=0", option))


@pytest.mark.parametrize(
    ("name", "value"), [("time", "00:00:59"), ("time", "2-00:00:00"), ("time", "24:00"), ("nodes", 0)]
)
def test_bad_sizes_of_jobs_are_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"bad value for --slurm\.{name}\n +found: +{value}\n"):
        Slurm(**{name: value})  # type: ignore[arg-type]


def test_the_shortest_job_lasts_a_minute() -> None:
    assert Slurm(time="00:01:00").time == "00:01:00"
    assert Slurm(time="100:00:00").time == "100:00:00"
