"""What the commands are told reaches what they call."""

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from jaxseg.command import StopRequest
from jaxseg.config import Locations, ModelConfig, Recipe, RunConfig, load_study
from jaxseg.errors import UsageError
from jaxseg.execution.footprint import memory_needed
from jaxseg.execution.resources import Resources
from jaxseg.execution.slurm import Slurm
from jaxseg.pretraining.config import PretrainConfig
from jaxseg.pretraining.run import Job
from jaxseg.run_folder import RunFolder

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
DATA, WEIGHTS = Path("data").absolute(), Path("weights").absolute()

pytestmark = pytest.mark.usefixtures("usual_signals")


@pytest.fixture(autouse=True)
def _keep_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxseg.execution.start.prepare_process", lambda *_: None)


def called(monkeypatch: pytest.MonkeyPatch, work: str, command: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of the function that a command calls; it ends there."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def end(*arguments: Any, **named: Any) -> None:
        calls.append((arguments, named))
        raise UsageError("enough")

    program, *options = command.split()
    monkeypatch.setattr(work, end)
    monkeypatch.setattr(sys, "argv", [program, *options])
    with pytest.raises(SystemExit):
        runpy.run_path(str(LAUNCH / f"{program}.py"), run_name="__main__")
    (call,) = calls
    return call


def test_train(monkeypatch: pytest.MonkeyPatch) -> None:
    what = "--dataset glas --weights mine --fraction 0.5 --repeat 3 --recipe.model.depth 18 --recipe.batch 8"
    how = "--test crag glas --out runs --devices 2 --stack host --checkpoint-seconds 9"
    where = f"--data-dir {DATA} --weights-dir {WEIGHTS}"
    arguments, _ = called(monkeypatch, "jaxseg.execution.single.run_single", f"train {what} {how} {where}")
    run, out, places, test, _, options = arguments
    assert run == RunConfig("glas", "mine", 0.5, 3, Recipe(ModelConfig(depth=18), batch=8))
    assert (out, places, test) == (Path("runs"), Locations(DATA, WEIGHTS), ("crag", "glas"))
    assert (options.devices, options.stack, options.checkpoint_seconds) == (2, "host", 9.0)


def test_a_run_is_scored_on_its_own_dataset_where_no_other_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (*_, test, _, _), _ = called(monkeypatch, "jaxseg.execution.single.run_single", "train --dataset glas")
    assert test == ("glas",)


def test_train_with_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[tuple[Any, ...]] = []
    usual = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("JAXSEG_ONE_GRAPH", "0")  # restored
    monkeypatch.setattr("jaxseg.execution.single.check_ready", lambda *_: None)
    monkeypatch.setattr("jaxseg.training.processes.leads", lambda: False)
    monkeypatch.setattr(
        "jaxseg.training.processes.join", lambda *given: joined.append((*given, signal.getsignal(signal.SIGTERM)))
    )
    how = "--distributed --coordinator host:1234 --processes 2 --process-id 1 --stack host --checkpoint-seconds 9"
    command = f"train --dataset glas --out runs --data-dir {DATA} --weights-dir {WEIGHTS} {how}"
    arguments, _ = called(monkeypatch, "jaxseg.training.together.train_together", command)
    run, folder, places, should_stop, options = arguments
    assert joined == [("host:1234", 2, 1, usual)], "signals end a process that waits for others"
    assert (folder.path, places) == (RunFolder.of(Path("runs"), run).path, Locations(DATA, WEIGHTS))
    assert (options.stack, options.checkpoint_seconds) == ("host", 9.0)
    assert signal.getsignal(signal.SIGTERM) != usual
    os.kill(os.getpid(), signal.SIGTERM)
    assert should_stop(), "and ask it to save from then on"


def test_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    where = f"{LAUNCH.parent / 'configs' / 'demo.py'} --out study --data-dir {DATA} --weights-dir {WEIGHTS}"
    command = f"sweep {where} --no-report --gpus none --workers 3"
    arguments, _ = called(monkeypatch, "jaxseg.execution.sweep.Sweep", command)
    study, folder, locations, open_pool, gpus, should_stop, analyse = arguments
    assert isinstance(should_stop, StopRequest)
    assert (study.name, folder, locations) == ("demo", Path("study").absolute(), Locations(DATA, WEIGHTS))
    assert (open_pool.args, gpus, analyse) == ((folder, Resources(3), None), (), False)


def test_sweep_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxseg.execution.resources.has_plugin", lambda: True)
    how = "--executor slurm --gpus 0,1 --runs-per-gpu 2 --slurm.nodes 3 --slurm.setup conda"
    command = f"sweep {LAUNCH.parent / 'configs' / 'demo.py'} --out study {how}"
    (_, folder, _, open_pool, gpus, *_), _ = called(monkeypatch, "jaxseg.execution.sweep.Sweep", command)
    resources = Resources(4, ("0", "0", "1", "1"), 2, nodes=3)
    assert (open_pool.args, gpus) == ((folder, resources, Slurm(nodes=3, setup="conda")), resources.gpus)


def test_workers_of_a_sweep_follow_its_runs_and_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    config = LAUNCH.parent / "configs" / "demo.py"
    arguments, _ = called(monkeypatch, "jaxseg.execution.resources.choose", f"sweep {config} --out s --data-dir {DATA}")
    study = load_study(config)
    assert arguments == (None, 1, None, len(study.runs()), memory_needed(study, DATA))


def test_gpus_that_a_sweep_leaves_idle_are_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jaxseg.execution.resources.unused_gpus", lambda _: "runs go to the CPU")
    command = f"sweep {LAUNCH.parent / 'configs' / 'demo.py'} --out study"
    called(monkeypatch, "jaxseg.execution.sweep.Sweep", command)
    assert "note: runs go to the CPU, or say --gpus none\n" in capsys.readouterr().err
    called(monkeypatch, "jaxseg.execution.sweep.Sweep", f"{command} --gpus none")
    assert "note" not in capsys.readouterr().err


def test_pretrain(monkeypatch: pytest.MonkeyPatch) -> None:
    where = f"--images {DATA} --out {WEIGHTS} --name own --pattern *.png"
    how = "--width 0.25 --devices 2 --stack host --checkpoint-seconds 9"
    (job, _, options), _ = called(monkeypatch, "jaxseg.pretraining.run.run_pretraining", f"pretrain {where} {how}")
    assert job == Job(DATA, WEIGHTS, "own", PretrainConfig(width=0.25), "*.png")
    assert (options.devices, options.stack, options.checkpoint_seconds) == (2, "host", 9.0)


@pytest.mark.parametrize(
    ("work", "command", "arguments", "named"),
    [
        (
            "jaxseg.inference.on_files.predict_files",
            "predict run a.png b.png --out masks --threshold 0.25 --budget 5",
            (Path("run"), (Path("a.png"), Path("b.png")), Path("masks")),
            {"threshold": 0.25, "budget": 5},
        ),
        (
            "jaxseg.datasets.prepare",
            f"prepare glas --manual-dir {WEIGHTS} --data-dir {DATA} --allow-incomplete",
            ("glas", DATA),
            {"manual_dir": WEIGHTS, "allow_incomplete": True},
        ),
        (
            "jaxseg.datasets.prepare_folder",
            f"prepare folder --name mine --source s --task t --table t.csv --masks classes --classes a=3 "
            f"--patient-pattern ^P --data-dir {DATA}",
            ("mine", Path("s"), DATA),
            {"task": "t", "table": Path("t.csv"), "masks": "classes", "classes": {"a": 3}, "patient_pattern": "^P"},
        ),
        (
            "jaxseg.analysis.analyze.analyze",
            f"analyze study --no-features --data-dir {DATA}",
            (Path("study"), DATA),
            {"features": False, "progress": print},
        ),
    ],
)
def test_others(
    work: str, command: str, arguments: tuple[Any, ...], named: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert called(monkeypatch, work, command) == (arguments, named)


def test_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    command = f"evaluate run --datasets crag glas --data-dir {DATA}"
    (folder, datasets, data_dir), _ = called(monkeypatch, "jaxseg.evaluation.scoring.score_more", command)
    assert (folder.path, datasets, data_dir) == (Path("run"), ("crag", "glas"), DATA)
