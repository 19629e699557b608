"""Functions are traced once for all processes, and anew wherever what was kept does not fit."""

import concurrent.futures
import contextlib
import errno
import fcntl
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.compute import traces
from jaxseg.compute.program import Program
from jaxseg.config import RunConfig
from jaxseg.run_folder import RunFolder
from jaxseg.training.mesh import make_mesh, replicated, sharded
from jaxseg.training.run import TrainOptions, training
from jaxseg.training.step import make_steps

Traced = list[tuple[int, ...]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """JAX's cache is on, in a folder of its own."""
    former = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    chosen = tmp_path / "cache"
    chosen.mkdir()
    jax.config.update("jax_compilation_cache_dir", str(chosen))
    yield chosen
    jax.config.update("jax_compilation_cache_dir", former)


def make_step(traced: Traced, devices: int = 1, about: object = "") -> Program[..., Any]:
    """A new function each time, as each process has its own."""
    whole = replicated(make_mesh(4, devices))

    def step(state: dict[str, jax.Array], batch: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        traced.append(batch.shape)
        loss = jnp.square(batch - state["mean"]).mean()
        return {"mean": 0.5 * (state["mean"] + batch.mean(0)), "steps": state["steps"] + 1}, loss

    return Program(step, about, lambda state, _: (state, 0), donate_argnums=0, out_shardings=whole)


def arguments(devices: int = 1) -> tuple[dict[str, jax.Array], jax.Array]:
    mesh = make_mesh(4, devices)
    state = jax.device_put({"mean": jnp.zeros(3), "steps": jnp.int32(0)}, replicated(mesh))
    return state, jax.device_put(jnp.arange(12.0).reshape(4, 3), sharded(mesh))


def compiled(traced: Traced, about: object = "", devices: int = 1) -> Callable[..., Any]:
    return make_step(traced, devices, about).prepare(*arguments(devices))


@pytest.mark.parametrize("devices", [1, 2])
def test_traced_once_and_the_same_as_the_step_itself(folder: Path, devices: int) -> None:
    traced: Traced = []
    expected, expected_loss = make_step([], devices).jitted(*arguments(devices))
    for _ in range(2):
        given, batch = arguments(devices)
        state, loss = compiled(traced, devices=devices)(given, batch)
        assert state["mean"].tolist() == expected["mean"].tolist()
        assert (int(state["steps"]), float(loss)) == (1, float(expected_loss))
        assert state["mean"].sharding == expected["mean"].sharding
        assert given["mean"].is_deleted()
    assert traced == [(4, 3)]
    assert len(list(folder.glob("*.traced"))) == 1


def test_of_anything_else_it_is_traced_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: Traced = []
    compiled(traced)
    compiled(traced, about="another network")
    compiled(traced, devices=2)
    another = make_step(traced)
    another._function.__qualname__ = "another function"
    another.prepare(*arguments())
    monkeypatch.setattr(traces, "SOURCE", "another version of the package")
    compiled(traced)
    version = importlib.metadata.version
    for place, name, other in (
        (jax, "device_count", lambda: 7),
        (jax, "default_backend", lambda: "gpu"),
        (importlib.metadata, "version", lambda name: f"{version(name)}.1"),
        (sys, "version", f"{sys.version} built anew"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, other)
            compiled(traced)
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        compiled(traced)
    finally:
        jax.config.update("jax_default_matmul_precision", None)
    assert len(traced) == len(list(folder.glob("*.traced"))) == 10


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: content[:-1] + b"?", lambda _: b""])
def test_a_damaged_file_is_replaced(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    traced: Traced = []
    compiled(traced)
    (file,) = folder.glob("*.traced")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    state, _ = compiled(traced)(*arguments())
    assert state["mean"].tolist() == [2.25, 2.75, 3.25]
    assert len(traced) == 2
    compiled(traced)
    assert len(traced) == 2


def test_the_last_used_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "KEPT", 2)
    traced: Traced = []
    for about in (0, 1, 0, 2):
        compiled(traced, about)
        for file in folder.glob("*.traced"):  # time passes
            stamp = file.stat().st_mtime_ns - 10**9
            os.utime(file, ns=(stamp, stamp))
    for about, times in ((0, 3), (2, 3), (1, 4)):
        compiled(traced, about)
        assert len(traced) == times


def test_what_cannot_be_exported_is_compiled_all_the_same(folder: Path) -> None:
    def step(total: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        doubled = jax.pure_callback(lambda x: 2 * np.asarray(x), jax.ShapeDtypeStruct((3,), jnp.float32), x)
        return total + doubled, x.sum()

    here = jax.device_put((jnp.zeros(3), jnp.arange(3.0)), jax.devices()[0])
    total, loss = Program(step, "calls back", lambda total, x: (total, 0))(*here)
    assert (total.tolist(), float(loss)) == ([0, 2, 4], 3)
    assert not list(folder.glob("*.traced"))


def in_the_middle(folder: Path, traced: Traced) -> contextlib.AbstractContextManager[Any]:
    """Another process that has traced the same step and compiles it until the block ends."""
    step = make_step(traced)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), arguments())
    about = step._about, step._precision, step._options
    return traces.traced(step._function, about, shapes, step._options["out_shardings"])


def test_a_process_waits_for_another_that_compiles_the_same(folder: Path) -> None:
    first: Traced = []
    second: Traced = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with in_the_middle(folder, first):
            waiting = pool.submit(compiled, second)
            compiled([], about="something else")  # keeps nobody waiting
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        state, _ = waiting.result(timeout=60)(*arguments())
    assert (first, second) == ([(4, 3)], [])
    assert state["mean"].tolist() == [2.25, 2.75, 3.25]
    assert not list(folder.glob("*.lock"))


def test_another_that_fails_or_takes_too_long_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: Traced = []
    with pytest.raises(RuntimeError), in_the_middle(folder, []):
        raise RuntimeError("does not compile")
    assert not list(folder.glob("*.traced"))
    monkeypatch.setattr(traces, "PATIENCE", 0)
    with in_the_middle(folder, []):
        compiled(traced)
        assert list(folder.glob("*.lock")), "it is still at it, and others may wait for it"
    assert traced == [(4, 3)]


@pytest.mark.parametrize("refused", ["open", "flock"])
def test_files_that_cannot_be_locked_cost_only_time(
    folder: Path, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(*{"open": (os, "open"), "flock": (fcntl, "flock")}[refused], refuse)
    with in_the_middle(folder, []) as found:
        assert found is not None


@pytest.mark.parametrize("none", [None, ""])
def test_nothing_is_kept_without_the_cache(folder: Path, none: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    jax.config.update("jax_compilation_cache_dir", none)
    state, _ = compiled([])(*arguments())
    assert state["mean"].tolist() == [2.25, 2.75, 3.25]
    assert not list(folder.glob("*.traced"))


def test_a_folder_that_cannot_be_written_costs_only_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(traces, "write_bytes", full)
    state, _ = compiled([])(*arguments())
    assert state["mean"].tolist() == [2.25, 2.75, 3.25]


def test_a_run_from_a_kept_trace_is_the_same_to_the_bit(
    tmp_path: Path, run: RunConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def best(name: str) -> Any:
        make_steps.cache_clear()
        with training(RunFolder.of(tmp_path / name, run), run, data_dir, tmp_path, options=TrainOptions()) as models:
            pass
        return models["best"]

    def refused(*_: object) -> None:
        raise AssertionError("traced again")

    with monkeypatch.context() as patch:
        patch.setattr(traces, "_read", lambda file: None)
        tree, about = best("one")
    monkeypatch.setattr(traces, "_flat", refused)
    again, told = best("two")
    assert about == told
    jax.tree.map(np.testing.assert_array_equal, tree, again)
