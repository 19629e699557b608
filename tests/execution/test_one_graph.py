"""A step as one CUDA graph is taken where it was tried out and was right and faster; tried once."""

import json
import os
from pathlib import Path
from typing import Any

import jax
import pytest

from jaxseg import gpus
from jaxseg.errors import UsageError
from jaxseg.execution import one_graph
from jaxseg.execution.one_graph import judged, settle
from jaxseg.training.step import make_steps

PIECES = {"loss": 1.25, "seconds": 0.004}
GRAPH = {"loss": 1.251, "seconds": 0.003}


class Tried:
    """Stands for the processes that train both ways."""

    def __init__(self, pieces: Any = PIECES, graph: Any = GRAPH) -> None:
        self.said, self.ways = {"0": pieces, "1": graph}, list[str]()

    def run(self, code: str, *, patience: float, **environment: str) -> tuple[bool, str]:
        way = environment[gpus.ONE_GRAPH]
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
    monkeypatch.setenv(gpus.ONE_GRAPH, "")  # so that what is settled goes with the test
    monkeypatch.delenv(gpus.ONE_GRAPH)
    return cache


def settled(monkeypatch: pytest.MonkeyPatch, tried: Tried) -> str | None:
    """What a new process settles on."""
    monkeypatch.delenv(gpus.ONE_GRAPH, raising=False)
    monkeypatch.setattr(one_graph.child, "run", tried.run)
    settle()
    return os.environ.get(gpus.ONE_GRAPH)


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
    assert tried.ways == ["0", "1", "0"][: 2 if isinstance(graph, str) else 3], "once"
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


def test_pieces_count_by_their_better_time() -> None:
    def said(seconds: float) -> tuple[bool, str]:
        return True, json.dumps({"loss": 0.5, "seconds": seconds})

    assert judged([said(0.004), said(0.003), said(0.0035)])[0]
    assert not judged([said(0.004), said(0.003), said(0.003)])[0], "the first were slow while the clock rose"


def test_a_step_that_fails_where_the_trial_did_not_is_taken_in_pieces_from_then_on(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = jax.errors.JaxRuntimeError("INTERNAL: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
    no_matter = [
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"),
        jax.errors.JaxRuntimeError("No execution plans support the graph"),  # cuDNN's own graphs
        RuntimeError("capture of /data/micrographs failed"),
    ]
    forgotten: list[bool] = []
    monkeypatch.setattr(make_steps, "cache_clear", lambda: forgotten.append(True), raising=False)
    tried = Tried()
    assert settled(monkeypatch, tried) == "1"
    for error in no_matter:
        with pytest.raises(type(error)), one_graph.doubted():
            raise error
    assert os.environ[gpus.ONE_GRAPH] == "1"
    with pytest.raises(UsageError, match=r"CUDA_ERROR_STREAM_CAPTURE(.|\n)*repeat the command"), one_graph.doubted():
        raise failed
    assert os.environ[gpus.ONE_GRAPH] == "0", "for the next run of this process"
    assert forgotten == [True]
    assert settled(monkeypatch, tried) == "0", "for the next process"
    with pytest.raises(jax.errors.JaxRuntimeError), one_graph.doubted():  # another matter, as steps are in pieces
        raise failed
    assert tried.ways == ["0", "1", "0"]


def test_tried_anew_for_another_host_and_where_the_file_is_damaged(
    host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Tried()
    settled(monkeypatch, tried)
    (file,) = host.iterdir()
    file.write_text("{")
    settled(monkeypatch, tried)
    for seen in (("0",), ("0", "1", "2")):
        monkeypatch.setattr(gpus, "visible", lambda seen=seen: seen)
        settled(monkeypatch, tried)  # one GPU, then several as at first
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "driver")
    for model in ("NVIDIA A100", "NVIDIA H100", "NVIDIA H100"):
        (tmp_path / "driver/gpus/0").mkdir(parents=True, exist_ok=True)
        (tmp_path / "driver/gpus/0/information").write_text(f"Model: \t {model}\nGPU UUID: \t GPU-1\n")
        settled(monkeypatch, tried)
    monkeypatch.setattr(gpus, "SOFTWARE", ("numpy",))  # stands for another cuDNN
    settled(monkeypatch, tried)
    assert tried.ways == ["0", "1", "0"] * 6
    assert len(list(host.iterdir())) == 5


def test_what_the_user_has_chosen_stays(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpus.ONE_GRAPH, "0")
    monkeypatch.setattr(one_graph.child, "run", lambda *_, **__: pytest.fail("tried out"))
    settle()
    assert os.environ[gpus.ONE_GRAPH] == "0"


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
    ways = [one_graph.child.run(one_graph.TRIAL, patience=300, **{gpus.ONE_GRAPH: way}) for way in "01"]
    (well, first), (also, second) = ways
    assert well, first
    assert also, second
    ways.append(ways[0])
    assert json.loads(first)["loss"] == json.loads(second)["loss"]
    assert json.loads(first)["seconds"] > 0
    assert "ms a step of a small net in pieces" in judged(ways)[1]
