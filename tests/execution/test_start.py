"""A process that computes looks for garbage rarely, touches memory ahead, and imports late what can wait."""

import os
import subprocess
import sys

import pytest

from jaxseg.config import Recipe
from jaxseg.errors import InputError, UsageError
from jaxseg.execution import start
from jaxseg.execution.footprint import first_step_bytes

RECIPE = Recipe(batch=4)

LOOKS = """
import gc, sys
from jaxseg.execution.start import look_for_garbage_rarely
if sys.argv[1] == "rarely":
    look_for_garbage_rarely()
def looks():
    return sum(generation["collections"] for generation in gc.get_stats())
before = looks()
kept = [[] for _ in range(70_000)]
print(looks() - before)
"""
IMPORTED = """
import sys
import jaxseg.execution.single
print([name for name in ("orbax.checkpoint", "grain", "pandas", "matplotlib") if name in sys.modules])
"""


def told(program: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    ).stdout


def test_garbage_is_looked_for_rarely() -> None:
    assert int(told(LOOKS, "rarely")) <= 1
    assert int(told(LOOKS, "often")) > 20


def test_what_the_first_step_does_not_need_is_not_imported_before() -> None:
    assert told(IMPORTED) == "[]\n"


@pytest.mark.parametrize(
    ("recipe", "on_cpu", "cores", "touched"),
    [(RECIPE, True, 2, [first_step_bytes(RECIPE)]), (RECIPE, True, 1, []), (RECIPE, False, 2, []), (None, True, 2, [])],
)
def test_a_process_that_will_train_has_idle_cores_touch_memory(
    recipe: Recipe | None, on_cpu: bool, cores: int, touched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    kept: list[bool] = []
    settled: list[bool] = []
    monkeypatch.setattr(start, "look_for_garbage_rarely", lambda: None)
    monkeypatch.setattr(start, "keep_freed_memory", lambda: kept.append(True))
    monkeypatch.setattr(start.compile_cache, "enable", lambda: None)
    monkeypatch.setattr(start, "computes_on_cpu", lambda: on_cpu)
    monkeypatch.setattr(start, "usable_cores", lambda: cores)
    monkeypatch.setattr(start.first_touch, "begin", asked.append)
    monkeypatch.setattr(start.one_graph, "settle", lambda: settled.append(True))
    start.prepare_process(recipe)
    assert asked == touched
    assert kept == [True] * on_cpu
    assert settled == [True] * (recipe is not None)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_a_recipe_that_does_not_fit_a_cpus_memory_is_refused_before_anything_else(
    on_cpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enable() -> None:
        raise InputError("went on")

    monkeypatch.setattr(start.compile_cache, "enable", enable)
    monkeypatch.setattr(start, "computes_on_cpu", lambda: on_cpu)
    with pytest.raises(UsageError if on_cpu else InputError):
        start.prepare_process(Recipe(batch=100_000_000))


@pytest.mark.parametrize(
    ("named", "kept"), [("cuda", "cuda,cpu"), ("cuda,cpu", "cuda,cpu"), ("cpu", "cpu"), ("", ""), (None, None)]
)
def test_the_cpu_cuts_crops_for_the_platforms_that_are_named(
    named: str | None, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if named is not None:
        monkeypatch.setenv("JAX_PLATFORMS", named)
    start.keep_cpu_in_reach()
    assert os.environ.get("JAX_PLATFORMS") == kept
