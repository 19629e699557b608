"""The NVIDIA GPUs that this process may use, told without asking JAX."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
# What Linux shows of each GPU. A container may lack the driver's own list, or see that of the whole host in it.
OF_EACH = ((Path("/proc/driver/nvidia/gpus"), "*"), (Path("/dev"), "nvidia[0-9]*"))
WSL = Path("/dev/dxg")  # by which Windows' subsystem for Linux reaches all GPUs: it shows no file of each
JOB_GPUS = "JAXSEG_JOB_GPUS"  # variable of workers: CUDA_VISIBLE_DEVICES of their cluster's job
DRIVER = Path("/proc/driver/nvidia")
SOFTWARE = ("jax-cuda", "nvidia-")  # beginnings of the names of packages with CUDA's parts, cuDNN among them
ALL = "all"  # as JAX says it
LIST = ("nvidia-smi", "-L")
PATIENCE = 60  # seconds for it
# By which Slurm tells that it gives each task GPUs of its own (srun's manual, "Output environment variables").
GPUS_OF_TASKS = ("SLURM_GPUS_PER_TASK", "SLURM_NTASKS_PER_GPU")
BOUND = ("per_task:", "single:", "map_gpu:", "mask_gpu:")  # and not "closest", which may give two tasks the same


def has_plugin() -> bool:
    """Whether JAX can use GPUs in this installation."""
    return any(importlib.util.find_spec(plugin) for plugin in PLUGINS)


def is_name(text: str) -> bool:
    """Whether CUDA_VISIBLE_DEVICES may name a GPU, or a part of one, so."""
    return text.isdigit() or text.startswith(("GPU-", "MIG-"))


def software() -> dict[str, str]:
    """Versions of the installed packages with CUDA's parts, by name, and the driver's where Linux tells it."""
    found = {each.name.lower(): each.version for each in importlib.metadata.distributions() if each.name}
    named = {name: found[name] for name in sorted(found) if name.startswith(SOFTWARE)}
    version = DRIVER / "version"
    return named | ({"driver": version.read_text(errors="replace").splitlines()[0]} if version.is_file() else {})


def visible() -> tuple[str, ...]:
    """GPUs that JAX could use: none without its CUDA plugin, else CUDA_VISIBLE_DEVICES, else all of the host.

    Of a GPU that is divided (NVIDIA's Multi-Instance GPU) its parts, of which a process can use one; the GPU itself
    where they are not told, as by a driver that is broken: JAX then says what is wrong.
    """
    if not has_plugin():
        return ()
    if (named := _named()) is not None:
        return named
    if any((DRIVER / "capabilities").glob("gpu*/mig/gi*")) and (told := _divided(_listed())):
        return told
    return tuple(map(str, range(of_host())))


def hidden() -> bool:
    """Whether CUDA_VISIBLE_DEVICES leaves this process no GPU."""
    return _named() == ()


def _named() -> tuple[str, ...] | None:
    """What CUDA_VISIBLE_DEVICES names; None where it is not set."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return None
    return tuple(name for name in map(str.strip, named.split(",")) if is_name(name))  # not -1, or Slurm's NoDevFiles


def of_host() -> int:
    """How many NVIDIA GPUs Linux shows, whether JAX can use them or not; 0 where it does not tell."""
    counts = (len(list(folder.glob(pattern))) for folder, pattern in OF_EACH)
    if shown := min(filter(None, counts), default=0):
        return shown
    return len(re.findall(r"^GPU \d+:", _listed(), re.MULTILINE)) if WSL.exists() else 0


def _listed() -> str:
    """What `nvidia-smi -L` says; "" where it is not there or does not answer."""
    if shutil.which(LIST[0]) is None:
        return ""
    try:
        return subprocess.run(LIST, capture_output=True, text=True, check=False, timeout=PATIENCE).stdout
    except subprocess.TimeoutExpired:
        return ""


def _divided(listed: str) -> tuple[str, ...]:
    """GPUs by number, and in place of one that is divided the names of its parts, from what `nvidia-smi -L` lists."""
    names: dict[str, list[str]] = {}
    for line in listed.splitlines():
        if gpu := re.match(r"GPU (\d+):", line):
            names[gpu[1]] = []
        elif names and (part := re.search(r"UUID: (MIG-[^)\s]+)", line)):
            names[list(names)[-1]].append(part[1])
    return tuple(name for number, parts in names.items() for name in parts or [number])


def of_task(environment: Mapping[str, str], seen: int) -> str | None:
    """Which of the GPUs that a scheduler's task sees are for it: indices such as "2,3", or `ALL`.

    All of them where it is alone on its host, where it was given GPUs of its own, or sees fewer than there are tasks;
    otherwise an equal share. None where the environment does not tell how many tasks are on the host.

    Args:
        environment: of the task, from Slurm (srun) or Open MPI.
        seen: GPUs that it sees.
    """
    place = _place_on_host(environment)
    if place is None:
        return None
    number, tasks = place
    if tasks == 1 or seen < tasks or _has_its_own(environment):
        return ALL
    share = seen // tasks
    return ",".join(str(number * share + index) for index in range(share))


def of_worker(asked: Sequence[str], rank: int, of_job: str) -> str:
    """The GPU of a sweep's worker, as in CUDA_VISIBLE_DEVICES.

    A cluster's job may have been given others of its node than were named when it was asked for, as many of them.

    Args:
        asked: for each worker of a host the GPU that it was meant for.
        rank: of the worker on its host.
        of_job: those that the scheduler gave to the job on this host, comma-separated; empty where there is none.
    """
    named, given = list(dict.fromkeys(asked)), of_job.split(",")
    if len(given) == len(named) and all(map(is_name, given)):
        return given[named.index(asked[rank])]
    return asked[rank]


def _place_on_host(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Number of the task on its host, from 0, and how many there are."""
    if "OMPI_COMM_WORLD_LOCAL_SIZE" in environment:
        return int(environment["OMPI_COMM_WORLD_LOCAL_RANK"]), int(environment["OMPI_COMM_WORLD_LOCAL_SIZE"])
    if not {"SLURM_STEP_TASKS_PER_NODE", "SLURM_NODEID", "SLURM_LOCALID"} <= environment.keys():
        return None
    counts = re.findall(r"(\d+)(?:\(x(\d+)\))?", environment["SLURM_STEP_TASKS_PER_NODE"])  # such as "4(x2),3"
    tasks = [int(count) for count, hosts in counts for _ in range(int(hosts or 1))]
    host = int(environment["SLURM_NODEID"])
    return (int(environment["SLURM_LOCALID"]), tasks[host]) if host < len(tasks) else None


def _has_its_own(environment: Mapping[str, str]) -> bool:
    binding = re.sub(r"^v(erbose)?,", "", environment.get("SLURM_GPU_BIND", ""))
    if binding == "none":
        return False
    told = any(name in environment for name in GPUS_OF_TASKS) or "gpu" in environment.get("SLURM_TRES_PER_TASK", "")
    return told or binding.startswith(BOUND)
