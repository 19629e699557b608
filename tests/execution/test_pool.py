"""What Parsl is asked for, told from the configuration that it is started with; no worker starts."""

import errno
import logging
import os
import signal
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from parsl.providers import SlurmProvider
from studies import small_study

from jaxseg.errors import InputError, StoppedError, UsageError
from jaxseg.execution.blocks import FailedBlocks
from jaxseg.execution.guard import SIGNALS
from jaxseg.execution.lease import hold_study
from jaxseg.execution.pool import FOLDER, RETRIES, WORKERS_LOG, parsl_folder, parsl_pool
from jaxseg.execution.resources import Resources
from jaxseg.execution.slurm import Slurm
from jaxseg.execution.work import Assignment, Outcome
from jaxseg.run_folder import RunFolder


class Kernel:
    """In place of Parsl's."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.held_back = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    def submit(self, *_: Any, **__: Any) -> "Future[Outcome]":
        return Future()

    def cleanup(self) -> None:
        """Nothing was started."""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Kernel]:
    """Starts a pool and gives the kernel that it started."""
    monkeypatch.setattr(logging, "raiseExceptions", True)  # restored
    monkeypatch.setattr("parsl.dataflow.dflow.DataFlowKernel", Kernel)
    monkeypatch.setattr(SlurmProvider, "execute_wait", lambda *_: (1, "", ""))  # it asks whether there is sacct
    (tmp_path / "sbatch").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def kernel(resources: Resources, slurm: Slurm | None = None, study: Path = tmp_path) -> Kernel:
        with hold_study(study) as lease, parsl_pool(study, resources, slurm, lease) as pool:
            return pool.kernel  # type: ignore[attr-defined, no-any-return]

    return kernel


def exported(worker_init: str) -> list[str]:
    return [line for line in worker_init.splitlines() if line.startswith("export ")]


def test_a_job_has_its_nodes_and_each_gpu_of_one_once(kernel: Callable[..., Kernel]) -> None:
    slurm = Slurm(nodes=3, address="10.0.0.7", setup="module load cuda", options=("cpus-per-task=8",))
    (executor,) = kernel(Resources(4, ("0", "0", "1", "1"), runs_per_gpu=2), slurm).config.executors
    assert executor.address == "10.0.0.7", "where its nodes look for the sweep"
    assert executor.provider.nodes_per_block == 3
    assert "#SBATCH --gpus-per-node=2" in executor.provider.scheduler_options
    first, *rest = executor.provider.worker_init.strip().splitlines()
    assert first == "module load cuda", "which may set what the workers need otherwise"
    assert "export JAX_PLATFORMS=cuda,cpu" in rest
    assert "export JAXSEG_RUNS_PER_GPU=2" in rest
    assert "export CUDA_DEVICE_ORDER=PCI_BUS_ID" in rest, "numbers of GPUs are those of nvidia-smi"


@pytest.mark.parametrize(
    ("programs", "study", "told"),
    [("none", "study", "no sbatch on this host"), ("", "my study", "Slurm needs a plain path")],
)
def test_where_no_job_can_be_submitted_is_told_before_anything_starts(
    programs: str, study: str, told: str, kernel: Callable[..., Kernel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / programs))
    with pytest.raises(UsageError, match=told):
        kernel(Resources(1), Slurm(address="10.0.0.7"), tmp_path / study)


def test_workers_of_this_host_are_told_where_to_compute(kernel: Callable[..., Kernel]) -> None:
    (on_cpu,) = kernel(Resources(2)).config.executors
    assert exported(on_cpu.provider.worker_init) == ["export JAX_PLATFORMS=cpu"]
    assert on_cpu.address == "127.0.0.1", "nobody else may send them work"
    assert on_cpu.cpu_affinity == "block"
    assert on_cpu.cores_per_worker < 1e-3, "as many as were asked for, also on fewer cores"
    (on_gpus,) = kernel(Resources(2, ("0", "1"))).config.executors
    assert "export JAX_PLATFORMS=cuda,cpu" in exported(on_gpus.provider.worker_init)
    assert on_gpus.cpu_affinity == "none", "input pipelines share the cores"


def test_what_is_lost_is_tried_again_at_the_price_of_the_study(kernel: Callable[..., Kernel]) -> None:
    config = kernel(Resources(1)).config
    assert config.retries == RETRIES
    assert config.retry_handler is not None, "else a run would have as many jobs of a cluster as tries"


def test_how_far_a_run_is_when_it_is_handed_in_and_that_one_has_ended_is_noted(
    tmp_path: Path, kernel: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(FailedBlocks, "reset", lambda _: ended.append(True))
    run = small_study().runs()[0]
    given = Assignment(tmp_path, run, (), (), tmp_path, tmp_path, "", tmp_path, "", tmp_path)
    (RunFolder.of(tmp_path, run).checkpoints / "latest-00000010").mkdir(parents=True)
    with hold_study(tmp_path) as lease, parsl_pool(tmp_path, Resources(1), None, lease) as pool:
        lost, done = pool.submit(given), pool.submit(given)
        assert not pool.retries.note(given), "else the loss of its first worker would cost nothing"  # type: ignore[attr-defined]
        lost.set_exception(RuntimeError("no worker"))
        assert not ended
        done.set_result(Outcome("done"))
        assert ended, "blocks work"


def test_a_full_disk_is_told_in_a_few_lines(kernel: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Kernel, config: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Kernel, "__init__", full)
    with pytest.raises(InputError, match="No space left on device"):
        kernel(Resources(1))
    assert not logging.raiseExceptions, "a traceback for each line that Parsl logs"


def test_signals_wait_while_guards_are_started(kernel: Callable[..., Kernel]) -> None:
    assert set(SIGNALS) <= kernel(Resources(1)).held_back


def test_what_parsl_does_not_quote_is_kept_out_of_its_scripts(kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    study = tmp_path / "{my} study"
    config = kernel(Resources(1), study=study).config
    assert " " not in config.run_dir
    assert not (study / FOLDER).exists()
    (executor,) = config.executors
    once = executor.launch_cmd.format_map(defaultdict(str))  # as Parsl fills in what it knows, and then the block
    assert f"{study}" in once.format_map(defaultdict(str))
    assert f"{config.run_dir}/{WORKERS_LOG}" in executor.launch_cmd, "where Parsl's files lie and the sweep looks"
    assert parsl_folder(study) == Path(config.run_dir)


def test_workers_and_what_hands_out_the_runs_are_told_to_end(kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    """Else they, and who waits for them, would find out by the lease that is gone, and have time to save."""
    with hold_study(tmp_path) as lease:
        with parsl_pool(tmp_path, Resources(1), None, lease) as pool:
            (executor,) = pool.kernel.config.executors  # type: ignore[attr-defined]
        assert lease.path.read_text().splitlines()[1:] == ["end workers.out"]
        executor.before_shutdown()
        assert lease.path.read_text().splitlines()[1:] == ["end workers.out", "end interchange.out"]


def test_an_interrupt_ends_the_process_and_asks_to_repeat_the_command(
    tmp_path: Path, kernel: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second Ctrl-C: Parsl would wait for what does not answer."""

    class Ended(BaseException):
        pass

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)
    with (
        hold_study(tmp_path) as lease,
        pytest.raises(Ended, match=str(StoppedError.exit_code)),
        parsl_pool(tmp_path, Resources(1), None, lease),
    ):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "stopped; repeat the command to resume\n"
