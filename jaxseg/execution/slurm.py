"""Where to run on a Slurm cluster, and what its jobs ask for."""

import contextlib
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jaxseg.errors import UsageError

if TYPE_CHECKING:
    from parsl.providers import SlurmProvider

# Since Slurm 22.05 srun does not take them over from sbatch by itself.
CORES_OF_STEP = 'export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"'
OPTION = re.compile(r"[a-z][a-z-]*(=\S+)?")
PLAIN = re.compile(r"[\w./+-]+")  # paths that Parsl's scripts can hold, which do not quote them


@dataclass(frozen=True)
class Slurm:
    """Where to run on a cluster; one job holds all nodes, each with the workers of `Resources`.

    Attributes:
        partition: of Slurm; the cluster decides where not given.
        account: of Slurm; the cluster decides where not given.
        time: limit of a job, HH:MM:SS; a new job follows while runs are left, which resume.
        nodes: per job.
        address: of this host as the nodes see it; None takes the address of the host's name.
        setup: shell line before the workers start, such as "module load cuda".
        options: further ones of sbatch without their dashes, such as qos=long mem=0 (which is all memory of a node).
        exclusive: whole nodes, however many of their GPUs are used; else cores have to be asked for among the
            options, such as cpus-per-task=16.
    """

    partition: str | None = None
    account: str | None = None
    time: str = "24:00:00"
    nodes: int = 1
    address: str | None = None
    setup: str = ""
    options: tuple[str, ...] = ()
    exclusive: bool = True

    def __post_init__(self) -> None:
        # Parsl hands on whole minutes, and 0 would ask for no limit.
        if not re.fullmatch(r"\d+:\d\d:\d\d", self.time) or not int(re.sub(r":\d+$|:", "", self.time)):
            expected = "HH:MM:SS, a minute or more"
            raise UsageError("bad value for --slurm.time", found=self.time, expected=expected)
        if self.nodes < 1:
            raise UsageError("bad value for --slurm.nodes", found=self.nodes, expected="1 or more")
        if bad := [option for option in self.options if not OPTION.fullmatch(option)]:
            raise UsageError("bad value for --slurm.options", found=" ".join(bad), expected="such as qos=long mem=0")

    def check(self, study: Path) -> None:
        """`UsageError` where no job can be submitted from here for a study in this folder."""
        if shutil.which("sbatch") is None:
            raise UsageError("no sbatch on this host", remedy="run on a login node of the cluster, or --executor local")
        if not PLAIN.fullmatch(str(study)):
            raise UsageError("Slurm needs a plain path", found=study, expected="letters, digits and any of _ . / + -")
        self.host()

    def host(self) -> str:
        """Address of this host as nodes see it; `UsageError` where its name leads nowhere or to itself (Debian)."""
        if self.address is not None:
            return self.address
        name, address = socket.gethostname(), None
        with contextlib.suppress(OSError):
            address = socket.gethostbyname(name)
        if address is None or address.startswith("127."):
            raise UsageError(
                "nodes would not find this host by the address of its name",
                found=f"{name}: {address or 'no address'}",
                expected="one in the cluster's network",
                remedy="give it with --slurm.address; hostname -I lists this host's",
            )
        return address

    def provider(self, gpus: int, setup: str) -> "SlurmProvider":
        """Parsl's, of jobs with so many GPUs on each node; `setup` is carried out in them after the user's own."""
        from parsl.launchers import SrunLauncher
        from parsl.providers import SlurmProvider

        # Not unless they are: a sweep that runs in a job itself hands on those of that job.
        asks_for_cores = any(option.startswith("cpus-per-task=") for option in self.options)
        return SlurmProvider(
            partition=self.partition,
            account=self.account,
            walltime=self.time,
            nodes_per_block=self.nodes,
            gpus_per_node=gpus or None,
            scheduler_options="\n".join(f"#SBATCH --{option}" for option in self.options),
            exclusive=self.exclusive,
            worker_init="\n".join([self.setup, *([CORES_OF_STEP] if asks_for_cores else []), setup]),
            # A node's workers are one task, to which clusters that bind by themselves (TaskPluginParam) give one core.
            launcher=SrunLauncher(overrides="--cpu-bind=none"),
            max_blocks=1,
            cmd_timeout=60,
        )
