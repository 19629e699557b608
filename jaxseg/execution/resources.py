"""How many runs go on at once, and on what: GPUs and cores of a host, told without asking JAX."""

import os
from dataclasses import dataclass

from jaxseg.compute.gpus import has_plugin, hidden, is_name
from jaxseg.compute.gpus import of_host as gpus_of_host
from jaxseg.compute.gpus import visible as visible_gpus
from jaxseg.compute.host import memory, usable_cores
from jaxseg.errors import UsageError

SCALING = 0.7  # a run on k cores is k ** SCALING times as fast as on one: 1.5 to 1.9 on two (benchmarks/placement.py)
MEMORY_SHARE = 0.8  # of the main memory, for runs
RUNS_PER_GPU = "JAXSEG_RUNS_PER_GPU"  # variable of the workers' environment
GPU_MEMORY = 0.93  # of a GPU, shared by its runs
BESIDE = 0.03  # of it for each process: what CUDA and its libraries take outside JAX's memory (an estimate)


@dataclass(frozen=True)
class Resources:
    """Workers of one host, or of each node of a cluster's job.

    Attributes:
        workers: runs at once on one of them.
        gpus: for each worker the GPU that it sees, as in CUDA_VISIBLE_DEVICES; empty on CPUs.
        runs_per_gpu: workers that share one GPU.
        nodes: of the cluster's job; None where this host does the work.
    """

    workers: int
    gpus: tuple[str, ...] = ()
    runs_per_gpu: int = 1
    nodes: int | None = None

    @property
    def at_once(self) -> int:
        """Runs, on all nodes."""
        return self.workers * (self.nodes or 1)

    @property
    def all_gpus(self) -> int:
        """How many there are on all nodes."""
        return len(set(self.gpus)) * (self.nodes or 1)

    def environment(self) -> dict[str, str]:
        """Variables that workers need before they import JAX."""
        if not self.gpus:
            return {"JAX_PLATFORMS": "cpu"}
        return {
            "JAX_PLATFORMS": "cuda,cpu",  # no GPU is then an error, not a slow run
            "XLA_PYTHON_CLIENT_MEM_FRACTION": "",  # its former name, which JAX refuses beside the present one
            "XLA_CLIENT_MEM_FRACTION": f"{GPU_MEMORY / self.runs_per_gpu - BESIDE:.3f}",
            RUNS_PER_GPU: str(self.runs_per_gpu),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # numbers as nvidia-smi gives them
        }


def choose(gpus: str | None, runs_per_gpu: int, workers: int | None, runs: int, run_bytes: int) -> Resources:
    """Resources from the options.

    Args:
        gpus: "0,2", "none", or None for those that this host offers.
        runs_per_gpu: at least 1.
        workers: runs at once on a CPU; None takes as many as end the study soonest.
        runs: of the study; run_bytes: main memory that one of them needs on a CPU.
    """
    for option, number in (("--runs-per-gpu", runs_per_gpu), ("--workers", workers)):
        if number is not None and number < 1:
            raise UsageError(
                f"bad value for {option}", found=number, expected="at least 1", remedy="choose more, or leave it out"
            )
    most = int(GPU_MEMORY / BESIDE) - 1
    if runs_per_gpu > most:
        raise UsageError(
            "bad value for --runs-per-gpu", found=runs_per_gpu, expected=f"at most {most}: they share its memory"
        )
    if found := visible_gpus() if gpus is None else _listed(gpus):
        if workers is not None:
            raise UsageError("--workers is for CPUs", found=workers, remedy="use --runs-per-gpu, or --gpus none")
        each = tuple(gpu for gpu in found for _ in range(runs_per_gpu))
        return Resources(len(each), each, runs_per_gpu)
    if gpus is None and runs_per_gpu > 1:
        raise UsageError("no GPU found for --runs-per-gpu", remedy="name them with --gpus, or use --workers")
    cores = usable_cores()
    return Resources(workers or _soonest(runs, cores, max(1, int(memory() * MEMORY_SHARE) // run_bytes)))


def _soonest(runs: int, cores: int, most: int) -> int:
    """How many runs at once, `most` at most, end all of them first; the fewest where several do.

    One core each wastes least, until cores are left over: while the last runs go on, or with fewer runs than cores.
    """

    def time(workers: int) -> float:
        return -(-runs // workers) / (cores // workers) ** SCALING

    return min(range(1, min(cores, most) + 1), key=time)


def computes_on_cpu() -> bool:
    """Whether JAX will compute on the CPU in this process: where JAX_PLATFORMS says so, or no GPU can be used."""
    first = os.environ.get("JAX_PLATFORMS", "").split(",")[0]
    return first == "cpu" or (not first and not visible_gpus())


def _listed(gpus: str) -> tuple[str, ...]:
    if gpus == "none":
        return ()
    names = tuple(name.strip() for name in gpus.split(","))
    if len(set(names)) < len(names) or not all(map(is_name, names)):
        raise UsageError("bad value for --gpus", found=gpus, expected="numbers such as 0,1,2,3, or none")
    return names


def check_usable(resources: Resources) -> None:
    """`UsageError` where GPUs are asked for that this installation cannot use, or that this host does not have."""
    asked = ",".join(dict.fromkeys(resources.gpus))
    if asked and not has_plugin():
        raise UsageError(
            "JAX cannot use GPUs here: its CUDA plugin is missing",
            found=f"--gpus {asked}",
            remedy="make .venv EXTRAS=cuda13,convert,test (or cuda12), or --gpus none",
        )
    there = gpus_of_host() if resources.nodes is None else 0
    if there and any(gpu.isdigit() and int(gpu) >= there for gpu in resources.gpus):
        raise UsageError(
            "no such GPU on this host",
            found=f"--gpus {asked}",
            expected=f"numbers from 0 to {there - 1}" if there > 1 else "0",
            remedy="nvidia-smi -L lists them; leave --gpus out for all of them",
        )


def unused_gpus(resources: Resources) -> str | None:
    """What to say where runs go to the CPU of a host whose GPUs this installation cannot use."""
    if resources.gpus or resources.nodes is not None or has_plugin() or hidden() or not gpus_of_host():
        return None
    gpus = f"{gpus_of_host()} GPUs" if gpus_of_host() > 1 else "GPU"
    remedy = "to use it: make .venv EXTRAS=cuda13,convert,test (or cuda12)"
    return f"runs go to the CPU: JAX cannot use this host's {gpus}, its CUDA plugin is missing; {remedy}"
