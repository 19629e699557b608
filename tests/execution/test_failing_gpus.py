"""A GPU that fails keeps its worker waiting while others are at work, and what it said is told."""

import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jaxseg.errors import DeviceError
from jaxseg.execution import failing_gpus
from jaxseg.execution.failing_gpus import Marks, problems, told, was_handed_back


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"FIRST_WAIT": 0.2, "LONGEST_WAIT": 0.7, "ALONE": 0.1, "LOOK": 0.01}.items():
        monkeypatch.setattr(failing_gpus, name, seconds)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """JAX seems to compute on one."""
    with monkeypatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: "gpu")
        yield


def waited(marks: Marks, stop: bool = False) -> float:
    """Seconds until it may try its run, by a clock that only waiting moves on, however busy the host."""
    slept = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failing_gpus, "time", types.SimpleNamespace(time=lambda: sum(slept), sleep=slept.append))
        assert marks.may_try("a-run", lambda: stop)
    return sum(slept)


def test_it_waits_longer_each_time_while_another_is_at_work(tmp_path: Path) -> None:
    bad, good = Marks(tmp_path, "node", "MIG-GPU-5d5/3/0"), Marks(tmp_path, "node", "0")
    with good.at("a-run"):
        assert waited(bad) < 0.1, "it has not failed"
        for seconds in (0.2, 0.4, 0.7, 0.7):
            bad.failed("an illegal address")
            assert waited(bad) == pytest.approx(seconds, abs=0.02)
        assert waited(good) < 0.1
        assert waited(bad, stop=True) < 0.1
        bad.worked()
        assert waited(bad) < 0.1


def test_it_does_not_wait_for_those_that_failed_too_or_are_idle(tmp_path: Path) -> None:
    bad, other = Marks(tmp_path, "node", "0"), Marks(tmp_path, "node", "1")
    for _ in range(3):
        bad.failed("an illegal address")
    assert waited(bad) < 0.1, "none is at work"
    other.failed("an illegal address")
    with other.at("a-run"):
        assert waited(bad) < 0.1
    with Marks(tmp_path, "another_node", "1").at("a-run"):
        assert waited(bad) >= 0.7


def asking(marks: Marks) -> tuple[threading.Thread, list[bool]]:
    """A worker that waits whether it may try a run, and what it is told in the end."""
    tries: list[bool] = []
    waiting = threading.Thread(target=lambda: tries.append(marks.may_try("a-run", lambda: False)))
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    return waiting, tries


def test_it_hands_back_a_run_that_others_could_do_at_once(tmp_path: Path) -> None:
    bad, good = Marks(tmp_path, "node", "0"), Marks(tmp_path, "node", "1")
    for _ in range(3):
        bad.failed("an illegal address")
    with good.at("another-run"):
        waiting, tries = asking(bad)
    good.worked()
    waiting.join(0.3)
    assert tries == [False]
    assert not was_handed_back(tmp_path, "another-run")
    assert was_handed_back(tmp_path, "a-run")
    assert not was_handed_back(tmp_path, "a-run"), "told once"
    assert bad.may_try("a-run", lambda: False), "it comes back: whoever worked is gone"
    assert not bad.may_try("a-third", lambda: False)
    assert bad.may_try("a-fourth", lambda: True), "which is asked to stop, and says so at once"
    good.failed("an illegal address")
    assert bad.may_try("a-run", lambda: False), "none is left to do it"
    assert not was_handed_back(tmp_path, "a-run")


def test_it_goes_on_when_a_worker_that_shares_it_has_worked(tmp_path: Path) -> None:
    bad, shared, good = (Marks(tmp_path, "node", gpu) for gpu in ("0", "0", "1"))
    for _ in range(3):
        bad.failed("out of memory")
    with good.at("another-run"):
        waiting, tries = asking(bad)
        shared.worked()
        waiting.join(0.2)
    assert tries == [True]


def test_those_that_worked_before_it_failed_may_be_gone(tmp_path: Path) -> None:
    """As the node of a cluster's former job."""
    Marks(tmp_path, "another_node", "0").worked()
    time.sleep(0.02)  # longer than a file system's clock takes
    bad = Marks(tmp_path, "node", "0")
    bad.failed("an illegal address")
    assert waited(bad) < 0.1


def test_what_failed_is_told_by_place(tmp_path: Path) -> None:
    assert problems(tmp_path / "none") == {}
    Marks(tmp_path, "node", "3").failed("the GPU failed: out of memory")
    (tmp_path / ".failing-node-4").write_text("{")  # being written
    with Marks(tmp_path, "node", "1").at("a-run"):
        assert problems(tmp_path) == {"GPU 3 of node": "the GPU failed: out of memory"}


def test_an_error_of_the_gpu_is_told_with_a_remedy(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    doubted: list[str] = []
    monkeypatch.setattr(failing_gpus.one_graph, "doubt", lambda problem: bool(doubted.append(problem)))
    with pytest.raises(DeviceError, match=r"the GPU failed: RESOURCE_EXHAUSTED(.|\n)*remedy.*smaller batch"), told():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 5 GB")
    assert doubted == ["RESOURCE_EXHAUSTED: 5 GB"]
    with pytest.raises(RuntimeError, match="capture of micrographs"), told():
        raise RuntimeError("capture of micrographs failed")


def test_a_failing_graph_is_told_and_doubted(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failing_gpus.one_graph, "doubt", lambda problem: True)
    with (
        pytest.raises(DeviceError, match=r"CAPTURE(.|\n)*not take a training step as one CUDA graph"),
        told(),
    ):
        raise jax.errors.JaxRuntimeError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")


def test_a_gpu_that_jax_passes_over_is_told_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise DeviceError("JAX cannot use this host's GPUs")

    monkeypatch.setattr("jaxseg.compute.device.check_platform", refuse)
    with pytest.raises(DeviceError, match="cannot use this host's GPUs"), told():
        pytest.fail("computed on the CPU")


def test_on_a_cpu_errors_pass() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError), told():
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")
