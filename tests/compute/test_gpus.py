"""Which GPUs are for a scheduler's task, by the variables that Slurm and Open MPI give it."""

import os
from pathlib import Path

import pytest

from jaxseg.compute import gpus


def slurm(tasks: str, number: int, host: int = 0, **more: str) -> dict[str, str]:
    told = {"SLURM_STEP_TASKS_PER_NODE": tasks, "SLURM_LOCALID": str(number), "SLURM_NODEID": str(host)}
    return {**told, **more}


@pytest.mark.parametrize(
    ("environment", "seen", "meant"),
    [
        (slurm("1(x4)", 0, 3), 8, "all"),  # a task for each host
        (slurm("8", 5), 8, "5"),  # a task for each GPU, all of which see all
        (slurm("4(x2),2", 3, 1), 8, "6,7"),
        (slurm("4(x2),2", 1, 2), 8, "4,5,6,7"),
        (slurm("3", 2), 8, "4,5"),  # equally many for each, or the batch could not be shared out
        (slurm("4", 3), 1, "all"),  # --gpus-per-task 1: each sees its own, under the number 0
        (slurm("2", 1, SLURM_GPUS_PER_TASK="2"), 2, "all"),
        (slurm("2", 1, SLURM_NTASKS_PER_GPU="1"), 2, "all"),
        (slurm("2", 1, SLURM_TRES_PER_TASK="cpu=4,gres/gpu=2"), 2, "all"),
        (slurm("2", 1, SLURM_TRES_PER_TASK="cpu=4"), 2, "1"),
        (slurm("2", 1, SLURM_GPU_BIND="single:1"), 2, "all"),
        (slurm("2", 1, SLURM_GPU_BIND="per_task:1"), 2, "all"),
        (slurm("2", 1, SLURM_GPU_BIND="mask_gpu:0x1,0x2"), 2, "all"),
        (slurm("2", 1, SLURM_GPU_BIND="verbose,map_gpu:0,1"), 2, "all"),
        (slurm("2", 1, SLURM_GPU_BIND="closest"), 2, "1"),  # which may be the same for both
        (slurm("2", 1, SLURM_GPU_BIND="v,none", SLURM_GPUS_PER_TASK="1"), 2, "1"),
        (slurm("2", 1, SLURM_GPU_BIND="none", SLURM_GPUS_PER_TASK="1"), 2, "1"),
        (slurm("2", 0), 0, "all"),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 4, "2,3"),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, 4, "all"),
        (slurm("1", 0, 1), 4, None),  # what tells of another step
        ({"SLURM_JOB_ID": "1"}, 4, None),
        ({}, 4, None),
    ],
)
def test_gpus_of_a_task(environment: dict[str, str], seen: int, meant: str | None) -> None:
    assert gpus.of_task(environment, seen) == meant


@pytest.mark.parametrize(
    ("asked", "of_job", "gpus_of_workers"),
    [
        (("0", "1"), "", ["0", "1"]),
        (("2", "5"), "", ["2", "5"]),
        (("0", "0", "1", "1"), "2,3", ["2", "2", "3", "3"]),  # part of a node, without control groups
        (("2", "3"), "0,1", ["0", "1"]),  # with them
        (("0", "1"), "GPU-a,GPU-b", ["GPU-a", "GPU-b"]),
        (("0", "1"), "0,1,2,3", ["0", "1"]),
        (("0", "1"), "NoDevFiles", ["0", "1"]),
        (("0",), "NoDevFiles", ["0"]),
    ],
)
def test_gpus_of_a_sweeps_workers(asked: tuple[str, ...], of_job: str, gpus_of_workers: list[str]) -> None:
    assert [gpus.of_worker(asked, rank, of_job) for rank in range(len(asked))] == gpus_of_workers


LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 2g.10gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-0fcd3b2f-5b0a-4d4c-9b3b-3d0b0c1a2e4f)
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its driver's folder, of two GPUs, and a folder for programs."""
    (tmp_path / "gpus/0000:01:00.0").mkdir(parents=True)
    (tmp_path / "gpus/0000:02:00.0").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "has_plugin", lambda: True)
    monkeypatch.setattr(gpus, "DRIVER", tmp_path)
    monkeypatch.setattr(gpus, "OF_EACH", ((tmp_path / "gpus", "*"),))
    return tmp_path


def give_smi(host: Path, script: str) -> None:
    (host / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (host / "nvidia-smi").chmod(0o755)


def test_parts_of_a_divided_gpu_count_by_themselves(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_smi(host, f"test $1 = -L && cat <<END\n{LISTED}END")
    assert gpus.visible() == ("0", "1")
    (host / "capabilities/gpu0/mig/gi1").mkdir(parents=True)
    parts = ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb")
    assert gpus.visible() == (*parts, "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", parts[1])
    assert gpus.visible() == parts[1:]


@pytest.mark.parametrize(("script", "seen"), [(f"cat <<END\n{LISTED}END", ("0", "1")), ("exit 9", ())])
def test_gpus_of_windows_are_those_that_nvidia_smi_lists(
    script: str, seen: tuple[str, ...], host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_smi(host, script)
    monkeypatch.setattr(gpus, "OF_EACH", ((host / "no list", "*"),))
    monkeypatch.setattr(gpus, "WSL", host / "dxg")
    assert gpus.visible() == (), "not asked where there is no sign of GPUs"
    (host / "dxg").touch()
    assert gpus.visible() == seen


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
        "exit 255",
        "exec sleep 60",
    ],
)
def test_a_divided_gpu_is_seen_where_its_parts_are_not_told(
    script: str, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or runs would go to the CPU without a word."""
    monkeypatch.setattr(gpus, "PATIENCE", 0.5)
    (host / "capabilities/gpu0/mig/gi1").mkdir(parents=True)
    give_smi(host, script)
    assert gpus.visible() == ("0", "1")


@pytest.mark.parametrize(
    ("driver", "devices", "count"),
    [
        (8, (), 8),  # nobody has used them yet, so that they have no files in /dev
        (0, ("nvidia0", "nvidia1"), 2),  # a container that lacks the driver's list
        (8, ("nvidia6",), 1),  # one that sees the host's
        (2, ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"), 2),
        (0, (), 0),
    ],
)
def test_gpus_that_linux_shows(
    driver: int, devices: tuple[str, ...], count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, every), (_, numbered) = gpus.OF_EACH
    monkeypatch.setattr(gpus, "OF_EACH", ((tmp_path / "driver", every), (tmp_path / "dev", numbered)))
    for number in range(driver):
        (tmp_path / f"driver/0000:0{number}:00.0").mkdir(parents=True)
    for name in devices:
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    assert gpus.of_host() == count
