"""Contenders take turns in processes of their own; one that fails stops no other."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import record, turns
from benchmarks.failures import Failures

ROOT = Path(__file__).parents[2]


def test_processes_are_bound_to_their_cores() -> None:
    core = max(os.sched_getaffinity(0))
    bound = [turns.Contender(f"{k}", "bound:cores", {}, cores=(core,)) for k in range(2)]
    with turns.all_opened(bound) as turn:
        assert turn() == core


@pytest.mark.parametrize(("given", "taken"), [({}, turns.MEMORY_SHARE), ({turns.FORMER_SHARE: "0.3"}, "0.3")])
def test_contenders_share_a_gpu(given: dict[str, str], taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (turns.SHARE, turns.FORMER_SHARE):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with turns.opened(turns.Contender("any", "bound:memory_share", {})) as turn:
        assert turn() == float(taken)


def test_those_that_work_at_the_same_time_take_as_long_as_the_slowest() -> None:
    shares = [
        turns.Contender(share, "bound:memory_share", {}, environment={turns.SHARE: share}) for share in ("0.3", "0.2")
    ]
    with turns.all_opened(shares) as turn:
        assert turn() == 0.3


def test_of_a_process_on_one_core_the_processors_time_counts() -> None:
    one = turns.Contender("one", "bound:memory_share", {}, one_core=True, environment={turns.SHARE: "0.9"})
    with turns.all_opened([one]) as turn:
        assert turn() < 0.5, "and not what it says itself"


def test_a_turn_is_one_of_each_and_goes_on_with_what_the_first_one_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Batches(Sequence[object]):
        def __len__(self) -> int:
            return 100

        def __getitem__(self, position: Any) -> None:
            drawn.append(position)

    drawn: list[int] = []
    said: list[str] = []
    monkeypatch.setattr(turns, "PAUSE", 0)
    draw = turns.drawing(Batches(), 2)
    assert drawn == [0, 1], "warmed"
    turns.in_turns({"a": draw, "b": turns.warmed(lambda: said.append(f"b after {drawn[-1]}"))}, 2, Failures())
    assert drawn == [0, 1, 2, 3, 4, 5]
    assert said == ["b after 1", "b after 3", "b after 5"]


def test_contenders_in_processes_of_their_own(tmp_path: Path) -> None:
    sizes = ["--side", "32", "--batches", "2", "--steps", "0", "--turns", "2"]
    command = [sys.executable, "-m", "benchmarks.input", *sizes, "--out", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    [file] = tmp_path.glob("input-*.json")
    result = json.loads(file.read_text())
    times = [len(side["seconds"]) for case in result["cases"] for side in case["contenders"].values()]
    assert times == [2, 2, 2, 2]
    assert result["device"] in ran.stdout


def test_variables_of_a_contender_are_set_before_jax_and_pytorch_are_imported() -> None:
    """Its process imports what was started: nothing that this imports may import them."""
    program = "import benchmarks.__main__, sys; print(*{'jax', 'torch'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.stdout == "\n", ran.stderr


def test_a_contender_that_fails_stops_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    broken = turns.Contender("broken", "benchmarks.pytorch:read_weights", {"depth": 7, "width": 1})
    late = turns.Contender("late", "bound:second_turn_fails", {})
    whole = turns.Contender("whole", "bound:cores", {})
    seconds = turns.race([whole, broken, late], 3)
    assert (len(seconds["whole"]), seconds["broken"], seconds["late"]) == (3, [], [])
    told = capfd.readouterr().err
    assert re.search(r"broken \(benchmarks.pytorch:read_weights\)(.|\n)*KeyError: 7", told)
    assert re.search(r"late \(bound:second_turn_fails\)(.|\n)*StopIteration", told)


def test_a_contender_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.1)
    ours, _theirs = multiprocessing.Pipe()
    with pytest.raises(RuntimeError, match=r"stuck \(any:work\): no answer"):
        turns._answer(ours, turns.Contender("stuck", "any:work", {}))


def test_ratios_are_of_neighbouring_turns() -> None:
    case = record.Case("x", 10, "images", {"jaxseg": [1.0, 2.0, 8.0], "peer": [3.0, 4.0, 8.0]})
    peer = case.to_json()["contenders"]["peer"]
    assert peer["ours_is_times_as_fast"] == 2.0  # of 3, 2 and 1
    assert peer["ours_is_times_as_fast_at_best"] == 3.0
    assert peer["items_per_second"] == 2.5
