"""A step as one CUDA graph is taken where it was tried out and was right and faster; tried once."""

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jaxseg.compute import gpus
from jaxseg.execution import one_graph
from jaxseg.execution.one_graph import judged, settle

PIECES = {"loss": 1.25, "seconds": 0.004}
GRAPH = {"loss": 1.251, "seconds": 0.003}


class Tried:
    """Stands for the processes that train both ways."""

    def __init__(self, pieces: Any = PIECES, graph: Any = GRAPH) -> None:
        self.said, self.ways = {"0": pieces, "1": graph}, list[str]()

    def run(self, code: str, *, patience: float, **environment: str) -> tuple[bool, str]:
        way = environment[one_graph.ONE_GRAPH]
        self.ways.append(way)
        said = self.said[way]
        return (False, said) if isinstance(said, str) else (True, f"a warning\n{json.dumps(said)}")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One with two GPUs, and the folder of its cache."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    monkeypatch.setenv("JAXSEG_CACHE", str(cache))
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    monkeypatch.setattr(gpus, "visible", lambda: ("0", "1"))
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv(one_graph.ONE_GRAPH, "")  # so that what is settled goes with the test
    monkeypatch.delenv(one_graph.ONE_GRAPH)
    return cache


def settled(monkeypatch: pytest.MonkeyPatch, tried: Tried) -> str | None:
    """What a new process settles on."""
    monkeypatch.delenv(one_graph.ONE_GRAPH, raising=False)
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"].partition(f"{one_graph.GRAPHS}={one_graph.IN_GRAPHS}")[0])
    monkeypatch.setattr(one_graph.child, "run", tried.run)
    settle()
    return os.environ.get(one_graph.ONE_GRAPH)


@pytest.mark.parametrize(
    ("pieces", "graph", "taken", "why"),
    [
        (PIECES, GRAPH, True, "4.00 ms a step of a small net in pieces, 3.00 as one graph"),
        (PIECES, GRAPH | {"seconds": 0.00395}, False, "4.00 ms a step of a small net in pieces, 3.95 as one graph"),
        (PIECES, GRAPH | {"loss": 1.5}, False, "the losses differ: 1.25 and 1.5"),
        (PIECES, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", False, "as one graph failed: CUDA_ERROR_STREAM_CAPTURE"),
    ],
)
def test_taken_where_it_works_is_right_and_faster(
    host: Path, pieces: Any, graph: Any, taken: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Tried(pieces, graph)
    assert settled(monkeypatch, tried) == str(int(taken))
    assert settled(monkeypatch, tried) == str(int(taken))
    assert tried.ways == ["0", "1", "0", "1"][: 2 if isinstance(graph, str) else 4], "once"
    (file,) = host.iterdir()
    told = json.loads(file.read_text())
    assert told["one_graph"] is taken
    assert why in told["why"]


@pytest.mark.parametrize(
    ("passing", "why"),
    [
        (Tried("no answer within 120 s", GRAPH), "a step in pieces failed: no answer within 120 s"),
        (Tried("a driver that is broken", GRAPH), "a step in pieces failed: a driver that is broken"),
        (Tried(PIECES, "no answer within 120 s"), "a step as one graph failed: no answer within 120 s"),
        (Tried(PIECES, "RESOURCE_EXHAUSTED: 5 GB"), "a step as one graph failed: RESOURCE_EXHAUSTED: 5 GB"),
    ],
)
def test_what_may_be_otherwise_next_time_is_remembered_for_a_while(
    host: Path, passing: Tried, why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settled(monkeypatch, passing) == "0"
    assert f"several pieces: {why}" in capsys.readouterr().err
    assert settled(monkeypatch, Tried()) == "0", "as for the other workers of a sweep"
    (file,) = host.iterdir()
    hours_ago = file.stat().st_mtime - 2 * one_graph.WHILE
    os.utime(file, (hours_ago, hours_ago))
    assert settled(monkeypatch, Tried()) == "1"
    os.utime(file, (hours_ago, hours_ago))
    assert settled(monkeypatch, passing) == "1", "lasts"


def test_pieces_count_by_their_better_time_and_graphs_as_read_from_the_cache() -> None:
    def taken(*seconds: float) -> bool:
        return judged([(True, json.dumps({"loss": 0.5, "seconds": each})) for each in seconds])[0]

    assert taken(0.004, 0.0045, 0.0042, 0.0035)
    assert not taken(0.004, 0.003, 0.003, 0.003), "the first were slow while the clock rose"
    assert not taken(0.004, 0.003, 0.004, 0.004), "in pieces where it was not compiled"


def test_a_graph_that_errs_as_read_from_the_cache_is_not_taken() -> None:
    ways = [PIECES, GRAPH, PIECES, GRAPH | {"loss": 1.5}]
    taken, why, lasting = judged([(True, json.dumps(way)) for way in ways])
    assert (taken, why, lasting) == (False, "the losses differ: 1.25 and 1.5", True)


def test_xla_is_told_before_it_is_loaded_and_what_was_said_by_hand_stays(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/tmp/dumped")
    assert settled(monkeypatch, Tried()) == "1"
    told = f"--xla_dump_to=/tmp/dumped {one_graph.GRAPHS}={one_graph.IN_GRAPHS}"
    assert os.environ["XLA_FLAGS"] == told
    settle()
    assert os.environ["XLA_FLAGS"] == told, "once, as for the children of such a process"
    monkeypatch.setenv("XLA_FLAGS", f"{one_graph.GRAPHS}=")
    assert settled(monkeypatch, Tried()) is None
    assert os.environ["XLA_FLAGS"] == f"{one_graph.GRAPHS}="
    monkeypatch.setenv("XLA_FLAGS", "")
    assert settled(monkeypatch, Tried(graph="CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")) == "1", "remembered"
    monkeypatch.setenv(one_graph.ONE_GRAPH, "0")
    monkeypatch.setenv("XLA_FLAGS", "")
    settle()
    assert os.environ["XLA_FLAGS"] == ""


def test_this_xla_adds_convolutions_to_what_goes_into_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to={tmp_path}")
    well, said = one_graph.child.run(
        "import jax; print(jax.jit(lambda: 3)())", patience=300, JAX_PLATFORMS="cpu", **one_graph.environment(True)
    )
    assert well, said
    options = next(tmp_path.glob("*.debug_options")).read_text()
    for kind in ("CONVOLUTION", "FUSION", "CUDNN"):
        assert f"{one_graph.GRAPHS[2:]}: {kind}\n" in options
    well, said = one_graph.child.run(
        "import jax; print(jax.jit(lambda: 3)())", patience=300, JAX_PLATFORMS="cpu", XLA_FLAGS=f"{one_graph.GRAPHS}=NO"
    )
    assert not well


@pytest.mark.parametrize(
    ("problem", "of_graphs", "lasting"),
    [
        ("INTERNAL: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", True, True),
        ("Underlying backend ran out of memory trying to instantiate command buffer with 3 nodes", True, False),
        ("RESOURCE_EXHAUSTED: failed to capture", True, False),
        ("RESOURCE_EXHAUSTED: out of memory", False, True),
        ("No execution plans support the graph", False, True),  # cuDNN's own graphs
        ("an illegal memory access was encountered", False, True),
    ],
)
def test_a_step_that_fails_where_the_trial_did_not_is_taken_in_pieces_by_later_processes(
    host: Path, problem: str, of_graphs: bool, lasting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settled(monkeypatch, Tried()) == "1"
    assert one_graph.doubt(problem) is of_graphs
    (file,) = host.iterdir()
    assert json.loads(file.read_text())["lasting"] is lasting
    assert settled(monkeypatch, Tried()) == str(int(not of_graphs))
    assert one_graph.doubt(problem) is False or not of_graphs, "another matter, where steps are in pieces"


def test_tried_anew_for_another_host_and_where_the_file_is_damaged(
    host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Tried()
    settled(monkeypatch, tried)
    (file,) = host.iterdir()
    file.write_text("{")
    settled(monkeypatch, tried)
    for seen in (("0",), ("MIG-a",), ("0", "1", "2")):
        monkeypatch.setattr(gpus, "visible", lambda seen=seen: seen)
        settled(monkeypatch, tried)  # one GPU, a part of one, then several as at first
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "driver")
    for model in ("NVIDIA A100", "NVIDIA H100", "NVIDIA H100"):
        (tmp_path / "driver/gpus/0").mkdir(parents=True, exist_ok=True)
        (tmp_path / "driver/gpus/0/information").write_text(f"Model: \t {model}\nGPU UUID: \t GPU-1\n")
        settled(monkeypatch, tried)
    monkeypatch.setattr(gpus, "SOFTWARE", ("numpy",))  # stands for another cuDNN
    settled(monkeypatch, tried)
    assert tried.ways == ["0", "1", "0", "1"] * 7
    assert len(list(host.iterdir())) == 6


def test_tried_also_from_a_checkout_that_is_not_installed(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def of_others(name: str) -> str:
        if name == "jaxseg":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", of_others)
    assert settled(monkeypatch, Tried()) == "1"


def test_what_the_user_has_chosen_stays(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(one_graph.ONE_GRAPH, "0")
    monkeypatch.setattr(one_graph.child, "run", lambda *_, **__: pytest.fail("tried out"))
    settle()
    assert os.environ[one_graph.ONE_GRAPH] == "0"


@pytest.mark.parametrize(("platforms", "seen"), [("cpu", ("0",)), ("", ()), ("tpu", ())])
def test_nothing_is_tried_without_a_gpu(
    host: Path, platforms: str, seen: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(gpus, "visible", lambda: seen)
    tried = Tried()
    assert settled(monkeypatch, tried) is None
    assert tried.ways == []


def test_the_trial_itself_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this CPU, where both ways are the same program."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    ways = [
        one_graph.child.run(one_graph.TRIAL, patience=300, **one_graph.environment(whole)) for whole in (False, True)
    ]
    (well, first), (also, second) = ways
    assert well, first
    assert also, second
    ways += ways
    assert json.loads(first)["loss"] == json.loads(second)["loss"]
    assert json.loads(first)["seconds"] > 0
    assert "ms a step of a small net in pieces" in judged(ways)[1]
