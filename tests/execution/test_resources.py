"""How options become workers."""

import contextlib
import dataclasses
from pathlib import Path

import jax
import pytest

from jaxseg.compute import gpus
from jaxseg.errors import DeviceError, UsageError
from jaxseg.execution import resources
from jaxseg.execution.resources import Resources, check_usable, choose, unused_gpus
from jaxseg.training.mesh import make_mesh


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "PLUGINS", ())
    monkeypatch.setattr(resources, "usable_cores", lambda: 8)
    monkeypatch.setattr(resources, "memory", lambda: 64 * 2**30)


GIGA = 2**30


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(
    ("runs", "gigabytes", "workers"),
    [
        (250, 1, 8),  # one core each wastes least
        (250, 13, 2),  # 64 GB, of which .8 are for runs: three find room, but two have four cores each
        (250, 100, 1),
        (8, 1, 8),
        (4, 1, 4),  # two cores each, rather than four that idle
        (1, 1, 1),
        (9, 1, 3),  # three times two cores, rather than one core for the ninth alone
    ],
)
def test_cpu_workers_follow_runs_cores_and_memory(runs: int, gigabytes: int, workers: int) -> None:
    assert choose(None, 1, None, runs, gigabytes * GIGA) == Resources(workers)


def chosen(gpus: str | None = None, runs_per_gpu: int = 1, workers: int | None = None) -> Resources:
    return choose(gpus, runs_per_gpu, workers, 250, GIGA)


@pytest.mark.usefixtures("cpu")
def test_cpu_workers_as_asked_for() -> None:
    for workers in (1, 8, 9):
        assert chosen(workers=workers) == Resources(workers)
    assert chosen().environment() == {"JAX_PLATFORMS": "cpu"}


@pytest.mark.parametrize(
    ("platforms", "plugins", "expected"),
    [("cpu", ("jax",), True), ("cuda,cpu", (), False), ("", ("jax",), False), ("", (), True)],
)
def test_whether_the_cpu_computes_is_told_without_jax(
    platforms: str, plugins: tuple[str, ...], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(gpus, "PLUGINS", plugins)  # any package that is installed
    assert resources.computes_on_cpu() is expected


def test_runs_share_a_gpu_and_its_memory() -> None:
    two = chosen("0,3", 2)
    assert (two.workers, two.gpus) == (4, ("0", "0", "3", "3"))
    assert float(two.environment()["XLA_CLIENT_MEM_FRACTION"]) == pytest.approx(0.435)
    assert two.environment()["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "", "JAX refuses it beside the present name"
    assert two.environment()["JAX_PLATFORMS"] == "cuda,cpu"
    assert chosen("1").environment()["XLA_CLIENT_MEM_FRACTION"] == "0.900"


def test_gpus_are_those_that_jax_can_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpus, "PLUGINS", ("json",))  # stands for an installed plugin
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert chosen().gpus == ("2", "5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "NoDevFiles")  # what Slurm says to jobs without GPUs
    assert chosen().gpus == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.setattr(gpus, "PLUGINS", ("no_such_plugin",))
    assert chosen().gpus == ()


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (("driver/0000:3b:00.0", "driver/0000:5e:00.0", "dev/nvidia-uvm", "dev/nvidiactl"), ("0", "1")),
        (("dev/nvidia0", "dev/nvidia1", "dev/nvidiactl", "dev/nvidia-uvm"), ("0", "1")),  # in some containers
        (("dev/null",), ()),
    ],
)
def test_gpus_of_the_host(
    files: tuple[str, ...], found: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    (_, every), (_, numbered) = gpus.OF_EACH
    monkeypatch.setattr(gpus, "OF_EACH", ((tmp_path / "driver", every), (tmp_path / "dev", numbered)))
    monkeypatch.setattr(gpus, "PLUGINS", ("json",))  # stands for an installed plugin
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert chosen().gpus == found


def test_gpus_that_jax_cannot_use_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "PLUGINS", ("no_such_plugin",))
    with pytest.raises(UsageError, match=r"--gpus 0,1\n(.|\n)*EXTRAS=cuda13"):
        check_usable(chosen("0,1", 2))
    check_usable(chosen("none"))
    monkeypatch.setattr(gpus, "PLUGINS", ("json",))
    monkeypatch.setattr(resources, "gpus_of_host", lambda: 0)  # not told
    check_usable(chosen("0,1"))


def test_gpus_that_the_host_does_not_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of one would fail run after run."""
    monkeypatch.setattr(gpus, "PLUGINS", ("json",))
    monkeypatch.setattr(resources, "gpus_of_host", lambda: 4)
    check_usable(chosen("0,3"))
    check_usable(chosen("GPU-a,MIG-b"))
    with pytest.raises(UsageError, match=r"no such GPU on this host\n +found: +--gpus 0,4\n +expected: .* 0 to 3\n"):
        check_usable(chosen("0,4"))
    check_usable(dataclasses.replace(chosen("0,4"), nodes=1))  # of a cluster, whose nodes are other hosts


def test_gpus_that_are_left_idle_for_want_of_the_plugin_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(resources, "gpus_of_host", lambda: 8)
    monkeypatch.setattr(gpus, "PLUGINS", ("no_such_plugin",))
    assert "this host's 8 GPUs" in str(unused_gpus(chosen()))
    assert unused_gpus(dataclasses.replace(chosen(), nodes=2)) is None
    for hiding in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hiding)
        assert unused_gpus(chosen()) is None, "they were hidden on purpose"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(resources, "gpus_of_host", lambda: 1)
    assert "this host's GPU, its" in str(unused_gpus(chosen()))
    monkeypatch.setattr(resources, "gpus_of_host", lambda: 0)
    assert unused_gpus(chosen()) is None


@pytest.mark.parametrize(
    ("platforms", "refused"), [("cuda,cpu", "'cuda'"), ("cuda", "'cuda'"), ("cpu", None), (None, None)]
)
def test_a_worker_whose_gpu_is_not_there_does_not_train_on_the_cpu(platforms: str | None, refused: str | None) -> None:
    former = jax.config.jax_platforms  # type: ignore[attr-defined]
    jax.config.update("jax_platforms", platforms)
    try:
        with pytest.raises(DeviceError, match=refused) if refused else contextlib.nullcontext():
            make_mesh(4, 1)
    finally:
        jax.config.update("jax_platforms", former)


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(("name", "value"), [("--workers", 0), ("--runs-per-gpu", -1)])
def test_too_few_are_told_by_option_and_value(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=rf"bad value for {name}\n +found: +{value}\n"):
        chosen(**{name[2:].replace("-", "_"): value})  # type: ignore[arg-type]


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(
    "options",
    [("0,0", 1, None), ("a", 1, None), ("", 1, None), ("0", 0, None), ("0", 1, 2), (None, 2, None), (None, 1, 0)],
)
def test_bad_options(options: tuple[str | None, int, int | None]) -> None:
    with pytest.raises(UsageError):
        chosen(*options)


def test_no_more_runs_share_a_gpu_than_find_room_beside_each_other() -> None:
    assert 0 < float(chosen("0", 30).environment()["XLA_CLIENT_MEM_FRACTION"]) < 0.01
    with pytest.raises(UsageError, match=r"bad value for --runs-per-gpu\n +found: +31\n +expected: at most 30"):
        chosen("0", 31)
