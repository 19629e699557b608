"""Two processes at one run give what one process with two devices gives; one of them writes; both stop together."""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.run_folder import RunFolder, runs_of
from jaxseg.training.mesh import make_mesh
from jaxseg.training.processes import PATIENCE, Agreement, join, lost_another
from jaxseg.training.together import LOST

PROGRAM = Path(__file__).resolve().parents[2] / "launch" / "train.py"
RECIPE = {
    "model.depth": 18,
    "model.width": 1 / 16,
    "crop": 64,
    "stride": 64,
    "batch": 4,
    "learning-rate": 1e-5,  # at larger ones ReLU's corner enlarges what rounding changed
    "budgets": 4,
    "validate-every": 1,
    "validate-gap": 3,
}
# as in a job of two tasks, which a run that stands alone must not take for its own
SLURM = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
SLURM |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_NODELIST": "localhost"}


def arguments(out: Path, data_dir: Path) -> list[str]:
    recipe = [part for name, value in RECIPE.items() for part in (f"--recipe.{name}", str(value))]
    places = ["--out", str(out), "--data-dir", str(data_dir), "--weights-dir", str(out)]
    return [str(PROGRAM), "--dataset", "synthetic_nuclei_a", "--fraction", "0.5", *recipe, *places]


def started(out: Path, data_dir: Path, *further: object) -> subprocess.Popen[str]:
    chosen = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.Popen(
        [sys.executable, *arguments(out, data_dir), *map(str, further)],
        env={**os.environ, **chosen},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pair(out: Path, data_dir: Path, *differences: tuple[object, ...]) -> list[subprocess.Popen[str]]:
    """Two processes at one run; `differences` are arguments of each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    joint = ("--distributed", "--coordinator", address, "--processes", 2)
    own = differences or ((), ())
    return [started(out, data_dir, *joint, "--process-id", number, *own[number]) for number in range(2)]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    try:
        said = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *each) for process, each in zip(processes, said, strict=True)]


def only_run(out: Path) -> RunFolder:
    (folder,) = runs_of(out)
    return folder


@pytest.fixture
def alone(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Trained by this process and its two devices, in what looks like a job of two tasks."""
    out = tmp_path / "alone"
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", arguments(out, data_dir))
    monkeypatch.setattr("jax.distributed.initialize", lambda *_, **__: pytest.fail("joined other processes"))
    monkeypatch.setattr("jaxseg.command.StopRequest", lambda: lambda: False)
    runpy.run_path(str(PROGRAM), run_name="__main__")
    monkeypatch.undo()
    return only_run(out)


def wait_for_the_run(out: Path) -> None:
    """Until it has begun in both processes, well before its first step."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if runs_of(out):
            return
        time.sleep(0.02)
    pytest.fail("no run in 90 s")


def test_two_processes_stop_together_resume_and_give_the_losses_of_one(
    tmp_path: Path, data_dir: Path, alone: RunFolder
) -> None:
    out = tmp_path / "together"
    processes = pair(out, data_dir)
    wait_for_the_run(out)
    processes[1].send_signal(signal.SIGTERM)  # the one that writes nothing
    results = ended(processes)
    assert [code for code, _, _ in results] == [75, 75], results
    assert all("stopped after step 2 of 6; repeat the command to resume" in errors for _, _, errors in results)
    assert [file.name for file in only_run(out).checkpoints.iterdir()] == ["latest-00000002"]

    results = ended(pair(out, data_dir))
    assert [code for code, _, _ in results] == [0, 0], results
    assert results[0][1].startswith("2 processes, 2 x cpu")
    assert "synthetic_nuclei_a" in results[0][1]
    assert "synthetic_nuclei_a" not in results[1][1]
    assert "epoch" not in results[1][1]
    folder = only_run(out)
    losses = [[(x["step"], x["training_loss"], x["validation_loss"]) for x in f.read_log()] for f in (folder, alone)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert sorted(file.name for file in folder.checkpoints.iterdir()) == ["best"]
    assert json.loads(folder.done.read_text())["steps"] == losses[1][-1][0]


def test_a_process_whose_partner_is_killed_ends_at_once_and_says_so(tmp_path: Path, data_dir: Path) -> None:
    processes = pair(tmp_path, data_dir)
    wait_for_the_run(tmp_path)
    processes[1].kill()
    killed = time.monotonic()
    (code, _, errors), _ = ended(processes)
    assert code == 75, errors
    assert errors.endswith(f"{LOST}\n"), errors
    assert time.monotonic() - killed < PATIENCE


def test_only_a_broken_connection_tells_of_a_lost_process() -> None:
    assert lost_another(ValueError("UNKNOWN: Gloo all-reduce failed: pair.cc Read error: Connection reset by peer"))
    assert lost_another(RuntimeError("INTERNAL: NCCL operation failed: remote process exited or there was a network"))
    assert not lost_another(RuntimeError("INTERNAL: NCCL operation failed: unhandled cuda error"))
    assert not lost_another(ValueError("Gloo context initialization failed"))


def test_processes_that_were_given_different_runs_are_refused(tmp_path: Path, data_dir: Path) -> None:
    results = ended(pair(tmp_path, data_dir, ("--repeat", 0), ("--repeat", 1)))
    assert [code for code, _, _ in results] == [2, 2], results
    assert all("not the same in all processes of the run: run, data" in errors for _, _, errors in results)


def test_what_one_process_was_asked_is_answered_to_all_a_call_later() -> None:
    asked = iter([False, True, False, False])
    agreement = Agreement(lambda: next(asked), make_mesh(2))
    with jax.transfer_guard("disallow"):
        assert [agreement() for _ in range(4)] == [False, False, True, False]


ONE_TASK = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
ONE_TASK |= {"SLURM_STEP_NODELIST": "localhost", "SLURM_NODEID": "0", "JAX_PLATFORMS": "cpu"}
TWO_GPUS = """
from jaxseg.compute import gpus
gpus.visible = lambda: ("0", "1")
"""
JOIN = """
from jaxseg.training.processes import join
join()
import jax
print(jax.config.values["jax_cuda_visible_devices"])
"""


@pytest.mark.parametrize(
    ("told", "gpus"),
    [
        ({"SLURM_STEP_TASKS_PER_NODE": "1"}, "all"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_LOCALID": "1"}, "1"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_LOCALID": "1", "SLURM_GPUS_PER_TASK": "2"}, "all"),
        ({"SLURM_STEP_TASKS_PER_NODE": "1", "JAX_LOCAL_DEVICE_IDS": "2,3"}, "2,3"),
        ({}, "0"),  # what JAX chooses
    ],
)
def test_a_process_has_the_gpus_that_are_meant_for_it(told: dict[str, str], gpus: str) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, **ONE_TASK, **told, "JAX_COORDINATOR_PORT": port}
    ran = subprocess.run(
        [sys.executable, "-c", TWO_GPUS + JOIN], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.strip() == gpus, ran.stderr


CACHED = """
import os, sys
from jaxseg.execution import compile_cache
folder = compile_cache.enable()
import jax
from jaxseg.training.processes import join, leave
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
join(sys.argv[1], 2, int(sys.argv[2]))
for add, after in ((1, lambda: None), (2, leave), (3, lambda: None)):
    jax.jit(lambda x: x + add)(jax.numpy.ones(3)).block_until_ready()
    print(len(list(folder.glob("*-cache"))) > 0)
    after()
"""


def test_processes_compile_together_and_keep_nothing_until_they_part(tmp_path: Path) -> None:
    """On GPUs one that found a program where the others did not would leave them waiting."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": str(tmp_path / "cache")}
    commands = [[sys.executable, "-c", CACHED, address, str(number)] for number in range(2)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    first, second = ended([subprocess.Popen(each, env=environment, text=True, **pipes) for each in commands])
    assert first[2].startswith(f"waiting for all processes of the run at {address}"), first
    assert [word for word in first[1].split() if word in ("False", "True")] == ["False", "False", "True"], first
    assert second[0] == 0, second


def test_the_address_of_a_run_is_given_whole_or_not_at_all() -> None:
    with pytest.raises(UsageError, match=r"belong together(.|\n)*give all three"):
        join("localhost:1", 2, None)


def test_a_batch_that_does_not_divide_says_what_fits() -> None:
    with pytest.raises(UsageError, match=r"devices: one of \[1\]; or batch: a multiple of 2"):
        make_mesh(5, 2)
    with pytest.raises(UsageError, match=r"expected: 1 … 2 on this host"):
        make_mesh(4, 3)
