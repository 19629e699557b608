"""Harsher rules than in production: two simulated devices, warnings are errors; and what several rooms need."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jaxseg.config import ModelConfig, Recipe, RunConfig
from jaxseg.run_folder import RunFolder

# Also on a host with GPUs, which compute other numbers and are other devices than the tests are about.
os.environ |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}  # of what tests start
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
# With several simulated devices on few cores, collectives of two steps in flight can wait for each other's threads.
jax.config.update("jax_cpu_enable_async_dispatch", False)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that tests compile or measure gets into the user's cache; in theirs they find it, as runs do.

    One for all test processes at once, which share the time to compile.
    """
    from jaxseg.execution import compile_cache

    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXSEG_CACHE", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "xla"))
        compile_cache.enable()
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_trial_of_graphs() -> Iterator[None]:
    """What a host's GPUs would take is not tried out in the midst of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXSEG_ONE_GRAPH", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def _pytorch_without_onednn() -> None:
    """Its gradients of narrow nets write beyond their arrays where there is no AVX-512 (torch 2.13.0, an AMD EPYC)."""
    import torch

    torch.backends.mkldnn.enabled = False


@pytest.fixture
def as_on_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is written for accelerators, carried out on this CPU."""
    from jaxseg.compute import device
    from jaxseg.pretraining.step import make_twins_steps
    from jaxseg.training.step import make_steps

    def forget() -> None:
        for cached in (make_steps, make_twins_steps, device._understood):
            cached.cache_clear()
        jax.clear_caches()

    forget()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    yield
    forget()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a prepared set of synthetic nuclei."""
    from jaxseg import datasets

    folder = tmp_path_factory.mktemp("data")
    datasets.prepare("synthetic_nuclei_a", folder)
    return folder


@pytest.fixture(scope="session")
def run() -> RunConfig:
    """A run that takes seconds."""
    model = ModelConfig(depth=18, width=1 / 16)
    recipe = Recipe(model, crop=64, stride=32, batch=4, learning_rate=1e-3, budgets=(1, 2), validate_every=1)
    return RunConfig("synthetic_nuclei_a", fraction=0.5, repeat=1, recipe=recipe)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, run: RunConfig, data_dir: Path) -> RunFolder:
    """The folder of that run, trained and scored."""
    from jaxseg.execution.complete import complete

    folder = RunFolder.of(tmp_path_factory.mktemp("study"), run)
    complete(folder, run, (run.dataset,), data_dir, folder.path)
    return folder


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """What signals do is restored."""
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)
