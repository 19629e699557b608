"""How options become workers."""

from pathlib import Path

import pytest

from jaxseg.errors import UsageError
from jaxseg.execution import resources
from jaxseg.execution.resources import Resources, choose


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "GPU_PLUGINS", ())
    monkeypatch.setattr(resources, "usable_cores", lambda: 8)
    monkeypatch.setattr(resources, "memory", lambda: 64 * 2**30)


@pytest.mark.usefixtures("cpu")
def test_cpu_workers_follow_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(None, 1, None) == Resources(4, pinned=True)
    assert choose(None, 1, 8) == Resources(8, pinned=True)
    assert choose(None, 1, 9) == Resources(9, pinned=False), "more workers than cores cannot each have their own"
    assert choose(None, 1, 1) == Resources(1, pinned=False), "one worker takes all"
    monkeypatch.setattr(resources, "memory", lambda: 8 * 2**30)
    assert choose(None, 1, None).workers == 2
    monkeypatch.setattr(resources, "memory", lambda: 2**30)
    assert choose("none", 1, None).workers == 1
    assert choose(None, 1, None).environment() == {"JAX_PLATFORMS": "cpu"}


def test_runs_share_a_gpu_and_its_memory() -> None:
    chosen = choose("0,3", 2, None)
    assert (chosen.workers, chosen.gpus) == (4, ("0", "0", "3", "3"))
    assert float(chosen.environment()["XLA_PYTHON_CLIENT_MEM_FRACTION"]) == pytest.approx(0.45)
    assert "JAX_PLATFORMS" not in chosen.environment()
    assert choose("1", 1, None).environment()["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.900"


def test_gpus_are_those_that_jax_can_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resources, "GPU_PLUGINS", ("json",))  # stands for an installed plugin
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert choose(None, 1, None).gpus == ("2", "5")
    monkeypatch.setattr(resources, "GPU_PLUGINS", ("no_such_plugin",))
    assert choose(None, 1, None).gpus == ()


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(
    "options",
    [("0,0", 1, None), ("a", 1, None), ("", 1, None), ("0", 0, None), ("0", 1, 2), (None, 2, None), (None, 1, 0)],
)
def test_bad_options(options: tuple[str | None, int, int | None]) -> None:
    with pytest.raises(UsageError):
        choose(*options)
