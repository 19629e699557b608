"""Sweeps with real workers: killed, stopped, with a worker that dies."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
from studies import prepare_all, small_study

from jaxseg.execution.plan import Item
from jaxseg.execution.pool import Retries, why_not_run
from jaxseg.execution.processes import descendants
from jaxseg.execution.progress import Progress
from jaxseg.execution.work import Assignment
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder

DRIVER = Path(__file__).with_name("driver.py")
RUNS = {run.run_id for run in small_study().runs()} | {small_study().trained_weights[0].run.run_id}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    prepare_all(tmp_path / "data")
    started: list[subprocess.Popen[str]] = []

    def start(executor: str = "local", **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(tmp_path / "study"), str(tmp_path / "data"), "2", executor],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,  # a group of its own, as a shell gives one
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:  # a test that failed; its guards end the rest
            process.kill()
            process.communicate()


def living(mark: str) -> dict[int, str]:
    """Processes whose environment holds the mark, zombies left out."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"TEST_MARK={mark}".encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def interchanges(mark: str) -> list[int]:
    """Parsl's own processes, whose environment is gone once they have given themselves a title."""
    return [pid for guard, line in living(mark).items() if "interchange.out" in line for pid in descendants(guard)]


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.05)


def finish(process: "subprocess.Popen[str]", seconds: float = 60) -> str:
    output, _ = process.communicate(timeout=seconds)
    return output


def test_killed_sweep_leaves_nothing_and_is_finished_by_the_next(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    mark, study = uuid.uuid4().hex, tmp_path / "study"
    first = start(TEST_MARK=mark, FAKE_SECONDS="2")
    wait_for(lambda: len(lines(study / "ended.txt")) >= 1 and len(lines(study / "started.txt")) >= 3, 60)
    assert any("worker_pool" in command for command in living(mark).values())
    assert any("interchange" in command for command in living(mark).values())
    (interchange,) = interchanges(mark)
    os.killpg(first.pid, signal.SIGKILL)  # and with it the guard of the interchange
    killed = time.monotonic()
    second = start(FAKE_SECONDS="0.1")  # at once, while the workers of the first still end
    wait_for(lambda: not living(mark) and not Path(f"/proc/{interchange}").exists(), 10)
    print(f"nothing left after {time.monotonic() - killed:.1f} s")
    finish(first)
    assert "5 runs done" in finish(second)
    assert second.returncode == 0
    assert Counter(lines(study / "ended.txt")) == Counter(RUNS), "each exactly once"
    assert not (study / ".parsl").exists()


def to_the_sweep(process: "subprocess.Popen[str]", mark: str) -> None:
    """As Ctrl-C in a notebook does, or `kill`."""
    process.send_signal(signal.SIGINT)


def to_its_group(process: "subprocess.Popen[str]", mark: str) -> None:
    """As `timeout` does, twice to the sweep itself, and make."""
    process.terminate()
    os.killpg(process.pid, signal.SIGTERM)


def to_all(process: "subprocess.Popen[str]", mark: str) -> None:
    """As systemd does, and Slurm at the time limit of a job in which a sweep runs."""
    for pid in {*descendants(process.pid), *living(mark)}:  # Parsl's blocks are no descendants
        os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize("ask", [to_the_sweep, to_its_group, to_all])
def test_stop_saves_and_the_next_sweep_resumes(
    tmp_path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    ask: Callable[["subprocess.Popen[str]", str], None],
) -> None:
    mark, study = uuid.uuid4().hex, tmp_path / "study"
    first = start(TEST_MARK=mark, FAKE_SECONDS="60")
    wait_for(lambda: len(lines(study / "started.txt")) == 2, 60)
    ask(first, mark)
    output = finish(first)
    assert first.returncode == 75, output
    assert "Repeat the command to resume" in output
    wait_for(lambda: not living(mark), 10)  # a guard may outlive the sweep by a moment
    running = lines(study / "started.txt")
    for id in running:
        assert (study / "runs" / id / "checkpoints" / "latest").read_text() == "saved"
    second = start(FAKE_SECONDS="0")
    assert "5 runs done" in finish(second)
    assert Counter(lines(study / "ended.txt")) == Counter(RUNS)


def test_sweep_whose_interchange_is_killed_says_so_and_leaves_nothing(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    mark, study = uuid.uuid4().hex, tmp_path / "study"
    first = start(TEST_MARK=mark, FAKE_SECONDS="60")
    wait_for(lambda: len(lines(study / "started.txt")) == 2, 60)
    (interchange,) = interchanges(mark)
    os.kill(interchange, signal.SIGKILL)
    output = finish(first)
    assert first.returncode == 75, output
    assert "Parsl's interchange" in output
    assert "repeat the command to resume" in output
    wait_for(lambda: not living(mark), 10)
    for id in lines(study / "started.txt"):
        assert (study / "runs" / id / "checkpoints" / "latest").read_text() == "saved"


def test_runs_of_a_lost_pool_are_done_by_the_next(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """A node that goes down takes the process that leads its workers with it; so may the killer of large processes."""
    mark, study = uuid.uuid4().hex, tmp_path / "study"
    process = start(TEST_MARK=mark, FAKE_SECONDS="3", FAKE_PATIENCE="12")
    wait_for(lambda: len(lines(study / "started.txt")) == 2, 60)
    (leader,) = (pid for pid, line in living(mark).items() if "-m parsl.executors" in line and "guard" not in line)
    os.kill(leader, signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 0, output
    assert set(lines(study / "ended.txt")) == RUNS
    wait_for(lambda: not living(mark), 10)


def test_pools_that_cannot_start_are_given_up(tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]) -> None:
    pool = ["-m", "parsl.executors.high_throughput.process_worker_pool"]
    broken = f"import os, sys\nif sys.orig_argv[1:3] == {pool}: os._exit(3)\n"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(broken)
    process = start(PYTHONPATH=f"{tmp_path / 'broken'}:{os.environ['PYTHONPATH']}")
    output = finish(process)
    assert process.returncode == 4, output
    assert "no worker could take it" in output
    assert "exit code: 3" in output


def test_run_of_a_killed_worker_is_done_by_another(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    study = tmp_path / "study"
    process = start(FAKE_KILL="site_a-random-f50")
    output = finish(process)
    assert process.returncode == 0, output
    assert Counter(lines(study / "ended.txt")) == Counter(RUNS)
    (victim,) = (id for id in RUNS if id.startswith("site_a-random-f50"))
    assert Counter(lines(study / "started.txt"))[victim] == 2
    assert (study / "runs" / victim / "killed").exists()


def test_runs_of_a_broken_gpu_are_done_by_another(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    study = tmp_path / "study"
    process = start(FAKE_GPUS="0,1", FAKE_BROKEN="1", FAKE_SECONDS="1")
    output = finish(process, seconds=180)
    assert process.returncode == 0, output
    assert Counter(lines(study / "ended.txt")) == Counter(RUNS)
    assert len(lines(study / "started.txt")) <= len(RUNS) + 2, "it waits while the other is at work"
    assert "GPU 1 of" in output
    assert "has failed; others that work get its runs first: the GPU failed: an illegal memory access" in output
    assert not list((study / "runs").glob("*/error.txt"))


def test_a_run_that_fails_on_every_gpu_is_told(tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]) -> None:
    study = tmp_path / "study"
    process = start(FAKE_GPUS="0,0", FAKE_BROKEN="0")
    output = finish(process, seconds=180)
    assert process.returncode == 4, output
    assert "its workers ended again and again: the GPU failed: an illegal memory access was encountered" in output
    assert max(Counter(lines(study / "started.txt")).values()) == 3
    assert "illegal memory access" in (study / "runs" / lines(study / "started.txt")[0] / "error.txt").read_text()


def test_a_run_that_gets_on_may_lose_its_worker_any_number_of_times(tmp_path: Path) -> None:
    run = small_study().runs()[0]
    given = Assignment(tmp_path, run, (), (), tmp_path, tmp_path, "", tmp_path, "", tmp_path)
    checkpoints, task = RunFolder.of(tmp_path, run).checkpoints, {"args": (given,)}
    (checkpoints / "latest-00000010").mkdir(parents=True)
    retries, lost = Retries(), ManagerLost(b"manager", "node")
    retries.note(given)
    assert retries(lost, task) == 1, "it has what it had when it was handed in"
    for step in (20, 30, 40, 50):
        (checkpoints / f"latest-{step:08d}").mkdir()
        assert retries(lost, task) == 0
    assert retries(WorkerLost(0, "node"), task) == 1
    (checkpoints / "latest-00000060").mkdir()
    assert retries(RuntimeError("no block could be started"), task) == 1
    (tmp_path / f".handed-back-{run.run_id}").write_text("{}")
    assert retries(lost, task) == 0.2, "it was not tried"
    assert retries(lost, task) == 1


def test_a_run_whose_worker_was_killed_does_not_count_as_running(tmp_path: Path) -> None:
    run, marks = small_study().runs()[0], tmp_path / "running"
    given = Assignment(tmp_path, run, (), (), tmp_path, tmp_path, "", tmp_path, "", marks)
    progress = Progress(
        tmp_path, marks, {run.run_id: Item(run, (), (), tmp_path)}, {run.run_id: "queued"}, {run.run_id: 1}
    )
    write_json(marks / run.run_id, {"host": "node", "gpu": "", "pid": 1})
    assert [each.id for each in progress.running()] == [run.run_id]
    assert Retries()(WorkerLost(0, "node"), {"args": (given,)}) == 1
    assert not progress.running(), "it waits for another worker"


def test_why_a_run_was_not_done_is_told(tmp_path: Path) -> None:
    folder, lost = RunFolder(tmp_path), ManagerLost(b"manager", "node")
    assert why_not_run(lost, folder).startswith("the worker was lost again and again")
    assert why_not_run(RuntimeError("no block"), folder) == "no worker could take it: RuntimeError: no block"
    folder.error.write_text("Traceback …\n\nthe GPU failed: an illegal address\n  remedy:   repeat\n")
    assert why_not_run(lost, folder) == (
        "its workers ended again and again: the GPU failed: an illegal address\n  remedy:   repeat"
    )


# The commands of a cluster of one node: jobs run in sessions of their own and are known by their process.
CLUSTER = {
    "sbatch": """
cp "${@: -1}" "$CLUSTER/script"
setsid bash "${@: -1}" > "$CLUSTER/output" 2>&1 < /dev/null &
echo "Submitted batch job $!"
""",
    "sacct": "exit 1",
    "squeue": """
for job in $(echo "${@: -1}" | tr , ' '); do kill -0 $job 2> /dev/null && echo "$job R"; done; true
""",
    "scancel": """
echo "$@" >> "$CLUSTER/cancelled"
for job in "$@"; do kill -- -$job; done
""",
    "srun": """
while [[ $1 == -* ]]; do if [[ $1 == --ntasks ]]; then shift; fi; shift; done
"$@"
""",
}


def made_cluster(cluster: Path) -> dict[str, str]:
    """Write its commands; what the environment of a sweep needs to find them."""
    cluster.mkdir()
    for name, script in CLUSTER.items():
        (cluster / name).write_text(f"#!/bin/bash{script if script[0] == chr(10) else chr(10) + script}")
        (cluster / name).chmod(0o755)
    return {"PATH": f"{cluster}:{os.environ['PATH']}", "CLUSTER": str(cluster)}


def test_stop_while_a_cluster_is_slow_to_answer(tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]) -> None:
    """Parsl asks its interchange for the state of workers when the cluster has answered, and must not ask in vain."""
    mark, study, cluster = uuid.uuid4().hex, tmp_path / "study", tmp_path / "cluster"
    environment = made_cluster(cluster)
    slow = (cluster / "squeue").read_text().replace("#!/bin/bash", "#!/bin/bash\ntouch $CLUSTER/asked; sleep 3")
    (cluster / "squeue").write_text(slow)
    process = start("slurm", TEST_MARK=mark, FAKE_SECONDS="60", FAKE_ASK="1", **environment)
    wait_for(lambda: len(lines(study / "started.txt")) == 2, 60)
    (cluster / "asked").unlink(missing_ok=True)
    wait_for(lambda: (cluster / "asked").exists(), 60)
    process.send_signal(signal.SIGINT)
    output = finish(process)
    assert process.returncode == 75, output
    assert (cluster / "cancelled").exists(), "the job is given back"
    wait_for(lambda: not living(mark), 10)


def test_slurm(tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]) -> None:
    cluster = tmp_path / "cluster"
    environment = made_cluster(cluster)
    mark = uuid.uuid4().hex
    process = start("slurm", TEST_MARK=mark, **environment)
    output = finish(process)
    assert process.returncode == 0, output
    assert Counter(lines(tmp_path / "study" / "ended.txt")) == Counter(RUNS)
    script = (cluster / "script").read_text()
    for line in ("--partition=short", "--account=lab", "--time=10", "--nodes=1"):
        assert f"#SBATCH {line}" in script
    assert "gpus-per-node" not in script
    assert "srun --ntasks 1 -l --cpu-bind=none bash" in script
    (job,) = (cluster / "cancelled").read_text().split()
    assert output.count(f"job {job} of the cluster waits for its nodes\n") == 1, output
    assert (cluster / "cancelled").exists(), "the job is given back"
    wait_for(lambda: not living(mark), 10)


def test_workers_of_a_node_with_fewer_cores(tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]) -> None:
    """Each would ask for a core of its own, end, and begin again."""
    environment = made_cluster(tmp_path / "cluster")
    srun, core = tmp_path / "cluster" / "srun", min(os.sched_getaffinity(0))
    srun.write_text(srun.read_text().replace('\n"$@"', f'\ntaskset --cpu-list {core} "$@"'))
    process = start("slurm", **environment)
    output = finish(process)
    assert process.returncode == 0, output
    assert Counter(lines(tmp_path / "study" / "ended.txt")) == Counter(RUNS)
