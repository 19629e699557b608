"""Where a measurement was taken. Nothing here touches a device in this process: contenders need it for themselves."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
import traceback
from dataclasses import dataclass

from jaxseg.compute import gpus, processor
from jaxseg.execution.one_graph import ONE_GRAPH

PATIENCE = 300  # seconds to find a device
DISPATCH = 10  # steps that a GPU is handed at once, as `jaxseg.training.step` says, which imports JAX
PACKAGES = ("jax", "jaxlib", "flax", "optax", "grain", "orbax-checkpoint", "torch", "numpy")
PROBE = """
import jax
from jaxseg.compute.device import check_platform
check_platform()
device = jax.devices()[0]
print(device.platform, device.device_kind, sep='|')
"""
PROBE_PEER = """
try:
    import torch
    print(torch.cuda.is_available())
except ModuleNotFoundError:
    print("not installed")
"""
PROBE_PEER_CUDA = "import torch; print(torch.version.cuda, torch.backends.cudnn.version())"


@dataclass(frozen=True)
class Machine:
    """A machine as far as results depend on it.

    Attributes:
        device: what the work runs on, such as "2 CPU cores, Intel Xeon, AVX-512" or "NVIDIA H100 80GB HBM3".
        gpu: whether that is a GPU.
        peer: whether PyTorch is there and would use the same device.
    """

    device: str
    gpu: bool
    peer: bool

    @property
    def slug(self) -> str:
        """The device's name as part of a file name."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.device.lower()).split())

    def dispatched(self, steps: int) -> int:
        """How many training steps are carried out where so many are asked for: whole dispatches."""
        return -(-steps // DISPATCH) * DISPATCH if self.gpu else steps


@functools.cache
def this_machine() -> Machine:
    """Ask JAX and PyTorch, each in a process of its own, which device they would use.

    Raises:
        subprocess.CalledProcessError: JAX cannot use the host's GPUs, or what JAX_PLATFORMS asks for; it has said why.
    """
    kind, name = _ask(PROBE, XLA_PYTHON_CLIENT_PREALLOCATE="false").split("|")  # others may be at work
    gpu = kind == "gpu"
    peer = _ask_peer(PROBE_PEER) == str(gpu)
    told = processor.model_name(), processor.generation(), processor.widest()  # one name hides very different ones
    cores = ", ".join(filter(None, (f"{len(os.sched_getaffinity(0))} CPU cores", *told)))
    return Machine(name if gpu else cores, gpu, peer)


def keep_to_one_gpu() -> None:
    """Let this process and its contenders see the first GPU alone, where there are several.

    They compute on one. JAX would take memory of all, and whether a step is one CUDA graph would be settled by a
    step that all share, unlike those of a study's runs.
    """
    seen = gpus.visible()
    if len(seen) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = seen[0]


def _ask(program: str, **environment: str) -> str:
    command, variables = [sys.executable, "-c", program], {**os.environ, **environment}
    answer = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=variables, timeout=PATIENCE
    ).stdout.strip()
    return answer.rpartition("\n")[2]  # libraries may greet


def _ask_peer(program: str) -> str:
    """The same of PyTorch; "it fails" where it does, which ends no measurement of ours.

    Such as where it finds another cuDNN than it was built for, since JAX's CUDA packages have replaced it.
    """
    try:
        return _ask(program)
    except subprocess.SubprocessError:
        traceback.print_exc()
        return "it fails"


def about() -> dict[str, object]:
    """Processor, load and versions, for the record."""
    return {
        "processor": processor.model_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "one_graph": os.environ.get(ONE_GRAPH) == "1",
        "versions": {name: _version(name) for name in PACKAGES},
        **(_cuda() if this_machine().gpu else {}),
    }


def _cuda() -> dict[str, object]:
    """Which CUDA software ours and the peer use."""
    peer = {"PyTorch, cuDNN": _ask_peer(PROBE_PEER_CUDA)} if this_machine().peer else {}
    return {"cuda": {**gpus.software(), **peer}}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
