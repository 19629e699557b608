"""The benchmarks with tiny sizes, so that they cannot rot; and their peers do the same work as ours."""

import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch

import benchmarks.__main__
from benchmarks import (
    conversion,
    dtypes,
    inference,
    input,
    machine,
    material,
    operations,
    ours,
    placement,
    profile,
    pytorch,
    record,
    start,
    started,
    study,
    train_step,
    turns,
)
from benchmarks.machine import Machine
from jaxseg.compute import gpus
from jaxseg.config import ModelConfig, Recipe
from jaxseg.execution.resources import choose
from jaxseg.input.placement import Placement
from jaxseg.input.plan import AHEAD
from jaxseg.input.render import pack, render
from jaxseg.models.unet import network
from jaxseg.training.step import STEPS_PER_DISPATCH

ROOT = Path(__file__).parents[2]
NARROW = {"depth": 18, "width": 1 / 16}


@contextlib.contextmanager
def all_opened_here(contenders: Sequence[turns.Contender]) -> Iterator[turns.Turn]:
    """Contenders in this process, one after the other: no second start of JAX and PyTorch."""
    works = [(*contender.work.split(":"), contender.setting) for contender in contenders]
    each = [getattr(importlib.import_module(module), function)(setting) for module, function, setting in works]
    yield lambda: sum(turn() for turn in each)


@pytest.fixture
def fast_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "multiplies_bfloat16", lambda: True)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "all_opened", all_opened_here)
    monkeypatch.setattr(turns, "PAUSE", 0.0)
    for module in (record.machine, train_step, inference, input, start, placement, profile):
        monkeypatch.setattr(module, "this_machine", lambda: Machine("2 CPU cores", gpu=False, peer=True))


def contenders(file: Path) -> dict[str, list[str]]:
    return {case["name"]: sorted(case["contenders"]) for case in json.loads(file.read_text())["cases"]}


@pytest.mark.usefixtures("inline", "fast_in_bfloat16")
def test_train_step_and_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [[f"PyTorch {dtype}", f"jaxseg {dtype}"] for dtype in ("float32", "bfloat16")]
    file = train_step.measure(train_step.Flags(**NARROW, side=32, batches=(2,), turns=2, out=tmp_path))
    assert contenders(file) == {"batch 2, float32": both[0], "batch 2, bfloat16": both[1]}
    file = train_step.measure(train_step.Flags(**NARROW, side=32, batches=(2,), one_core=True, turns=1, out=tmp_path))
    name = "batch 2, processor time of one core"
    assert contenders(file) == {f"{name}, float32": both[0], f"{name}, bfloat16": both[1]}
    prepared: list[Recipe] = []
    monkeypatch.setattr(started, "prepare_process", prepared.append)
    file = start.measure(start.Flags(**NARROW, side=32, batch=2, turns=1, out=tmp_path))
    assert contenders(file) == {"first step, batch 2": ["PyTorch", "jaxseg, empty cache", "jaxseg, filled cache"]}
    of_setting = Recipe(ModelConfig(**NARROW), crop=32, stride=16, batch=2, compute_dtype="float32")
    assert set(prepared) == {of_setting}


@pytest.mark.usefixtures("inline")
def test_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MATRIX", {False: 64})
    monkeypatch.setattr(profile, "ARRAY", {False: 1000})
    file = profile.measure(profile.Flags(**NARROW, side=32, batch=2, turns=2, largest=5, out=tmp_path))
    result = json.loads(file.read_text())
    assert contenders(file) == {"batch 2, one core": ["jaxseg float32"]}
    assert result["roofs"]["flop_per_second"] > 0 < result["roofs"]["bytes_per_second"]
    groups = result["groups"]
    assert {"convolutions", "element by element", "sums"} <= set(groups)  # loops as well, before JAX 0.12
    assert "not in the program's text" not in groups
    step = min(result["cases"][0]["contenders"]["jaxseg float32"]["seconds"])
    assert 0.1 * step < sum(group["seconds"] for group in groups.values()) < 3 * step
    assert len(result["largest"]) == 5
    assert file.with_suffix(".png").exists()


@pytest.mark.usefixtures("inline")
def test_placement(tmp_path: Path) -> None:
    file = placement.measure(placement.Flags(**NARROW, side=32, batch=2, runs=(1, 2), turns=2, out=tmp_path))
    assert contenders(file) == {"1 at once": ["jaxseg"], "2 at once": ["jaxseg"]}
    one, two = (case["contenders"]["jaxseg"] for case in json.loads(file.read_text())["cases"])
    assert one["items_per_second"] * one["median_seconds"] == pytest.approx(2)
    assert two["items_per_second"] * two["median_seconds"] == pytest.approx(2 * 2), "the images of both runs"


GPU = Machine("H100", gpu=True, peer=True)


def test_runs_that_share_a_gpu_compute_what_one_process_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "this_machine", lambda: GPU)
    for contender in placement.team(2, placement.Flags(), "cache"):
        assert contender.environment["JAX_COMPILATION_CACHE_DIR"] == "cache"
        assert contender.cores == ()


@pytest.mark.parametrize(
    ("batch", "asked", "steps"), [(64, 0, 100), (4, 0, 1600), (48, 0, 140), (9000, 0, 10), (4, 17, 20)]
)
def test_turns_of_a_gpu_are_whole_dispatches(
    batch: int, asked: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_step, "this_machine", lambda: GPU)
    assert train_step.steps(train_step.Flags(steps=asked), batch) == steps
    assert machine.DISPATCH == STEPS_PER_DISPATCH
    assert Machine("2 CPU cores", gpu=False, peer=True).dispatched(17) == 17


def test_results_of_a_gpu_name_its_cuda_software(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.1\nGCC version: 12\n")
    monkeypatch.setattr(gpus, "DRIVER", tmp_path)
    monkeypatch.setattr(gpus, "SOFTWARE", ("jaxl", "num"))  # such as are installed here
    monkeypatch.setattr(machine, "_ask", lambda program, **_: "12.9 91200")
    monkeypatch.setattr(machine, "this_machine", lambda: GPU)
    told = machine.about()["cuda"]
    assert told["driver"].endswith("570.1")
    assert told["jaxlib"] == machine.about()["versions"]["jaxlib"]
    assert told["PyTorch, cuDNN"] == "12.9 91200"
    monkeypatch.setattr(machine, "this_machine", lambda: Machine("2 CPU cores", gpu=False, peer=True))
    assert "cuda" not in machine.about()


@pytest.mark.usefixtures("inline")
def test_how_gpus_take_a_step_is_settled_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    happened: list[str] = []
    monkeypatch.setattr(record.one_graph, "settle", lambda: happened.append("settled"))
    case = record.Case("any", 1, "images", {"jaxseg": [1.0]})
    parts = {"part": lambda: happened.append("measured") or [case]}
    record.record_parts("any", record.Options(tmp_path), parts)
    assert happened == ["settled", "measured"]


def test_a_profile_that_saw_next_to_nothing_is_an_error() -> None:
    seen = operations.Operation("sum", "sums", "", 0.004, 0.001, 0, 8)
    profile.check_traced([seen], 0.039)
    with pytest.raises(RuntimeError, match=r"saw 4\.0 ms of operations in a step of 41\.0 ms(.|\n)*CUPTI"):
        profile.check_traced([seen], 0.041)
    with pytest.raises(RuntimeError, match=r"saw 0\.0 ms"):
        profile.check_traced([], 0.01)


@pytest.mark.parametrize("gpu", [True, False])
def test_a_gpu_is_handed_many_crops_to_cut_at_once(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    raced: list[turns.Contender] = []
    monkeypatch.setattr(input, "this_machine", lambda: Machine("any", gpu=gpu, peer=True))
    monkeypatch.setattr(input, "race", lambda contenders, turns: raced.extend(contenders) or {})
    (case,) = input._cut(input.Flags(batch=16))
    assert {(each.setting["batch"], each.setting["cuts"]) for each in raced} == {(256, 300) if gpu else (16, 1)}
    assert case.items == (76_800 if gpu else 16)


def test_a_start_on_a_gpu_is_a_whole_dispatch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(start, "this_machine", lambda: GPU)
    monkeypatch.setattr(start, "contenders", lambda setting, *_: given.append(setting) or [])
    assert start._started(start.Flags(batch=4), tmp_path).name == "first 10 steps, batch 4"
    assert (given[0]["steps"], given[0]["warm"]) == (10, 10)


def test_placements_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = placement.Flags(batch=4)  # 4 GB each
    monkeypatch.setattr(placement, "usable_cores", lambda: 16)
    for gigabytes, most in ((2, 1), (24, 3), (1000, 16)):
        monkeypatch.setattr(placement, "memory", lambda gigabytes=gigabytes: gigabytes * 10**9)
        assert placement.most_at_once(flags) == most


@pytest.mark.parametrize(
    ("jax_finds", "pytorch_finds", "found"),
    [
        ("gpu|H100", "True", Machine("H100", gpu=True, peer=True)),
        ("gpu|H100", "False", Machine("H100", gpu=True, peer=False)),
        ("gpu|H100", "not installed", Machine("H100", gpu=True, peer=False)),
        ("cpu|cpu", "True", Machine("2 CPU cores, any, family 6, AVX-512", gpu=False, peer=False)),
        ("cpu|cpu", "not installed", Machine("2 CPU cores, any, family 6, AVX-512", gpu=False, peer=False)),
    ],
)
def test_the_peer_is_left_out_where_it_would_use_another_device(
    jax_finds: str, pytorch_finds: str, found: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {machine.PROBE: jax_finds, machine.PROBE_PEER: pytorch_finds}
    monkeypatch.setattr(machine, "_ask", lambda program, **environment: answers[program])
    monkeypatch.setattr(machine.processor, "model_name", lambda: "any")
    monkeypatch.setattr(machine.processor, "generation", lambda: "family 6")
    monkeypatch.setattr(machine.processor, "widest", lambda: "AVX-512")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert machine.this_machine.__wrapped__() == found
    if not found.gpu:
        monkeypatch.setattr(machine.processor, "generation", lambda: "")
        monkeypatch.setattr(machine.processor, "widest", lambda: "")
        assert machine.this_machine.__wrapped__().device == "2 CPU cores, any"


def test_a_peer_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(machine, "PROBE", "print('a greeting'); print('gpu|H100')")
    monkeypatch.setattr(machine, "PROBE_PEER", "raise ImportError('libcudnn.so.9: cannot open')")
    assert machine.this_machine.__wrapped__() == Machine("H100", gpu=True, peer=False)
    assert "ImportError: libcudnn.so.9: cannot open" in capfd.readouterr().err
    monkeypatch.setattr(machine, "this_machine", lambda: GPU)
    monkeypatch.setattr(machine, "PROBE_PEER_CUDA", "raise RuntimeError('cuDNN version incompatibility')")
    assert machine.about()["cuda"]["PyTorch, cuDNN"] == "it fails"


def test_a_cpu_is_not_measured_in_place_of_a_gpu_that_jax_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jax_cuda12_plugin").mkdir()  # stands for one that does not suit the driver
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("JAX_PLATFORMS", "")
    with pytest.raises(subprocess.CalledProcessError):
        machine.this_machine.__wrapped__()
    assert "JAX cannot use this host's GPUs" in capfd.readouterr().err


def test_a_device_that_does_not_answer_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PATIENCE", 0.2)
    monkeypatch.setattr(machine, "PROBE", "import time; time.sleep(60)")
    with pytest.raises(subprocess.TimeoutExpired):
        machine.this_machine.__wrapped__()


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(
    ("seen", "left"), [(("0", "1"), "0"), (("MIG-a", "MIG-b"), "MIG-a"), (("5",), None), ((), None)]
)
def test_contenders_and_the_trial_of_graphs_see_one_gpu(
    seen: tuple[str, ...], left: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(gpus, "visible", lambda: seen)
    told: list[str | None] = []
    monkeypatch.setattr(record.one_graph, "settle", lambda: told.append(os.environ.get("CUDA_VISIBLE_DEVICES")))
    case = record.Case("batch 4", 4, "images", {"jaxseg": [1.0]})
    record.record_parts("train_step", record.Options(tmp_path), {"all": lambda: [case]})
    assert told == [left]


def test_batches_that_matter_most_come_first_on_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(train_step, "this_machine", lambda: GPU)
    monkeypatch.setattr(train_step, "record_parts", lambda name, flags, parts, setting: list(parts))
    parts = train_step.measure(train_step.Flags(out=tmp_path))
    assert parts[:2] == [f"batch {Recipe().batch}", "batch 64"]
    assert sorted(parts) == [f"batch {batch}" for batch in (16, 32, 4, 64, 8)]


@pytest.mark.usefixtures("inline", "fast_in_bfloat16")
def test_inference(tmp_path: Path) -> None:
    sizes = {"crop": 32, "stride": 16, "height": 40, "width_of_image": 50}
    file = inference.measure(inference.Flags(**NARROW, **sizes, images=1, turns=1, out=tmp_path))
    assert contenders(file) == {
        f"1 images of 40 x 50, {dtype}": [f"PyTorch {dtype}", f"jaxseg {dtype}"] for dtype in ("float32", "bfloat16")
    }


@pytest.mark.parametrize(
    ("gpu", "fast", "raced"),
    [(True, False, ("bfloat16",)), (False, True, ("float32", "bfloat16")), (False, False, ("float32",))],
)
def test_bfloat16_is_raced_where_it_is_multiplied(
    gpu: bool, fast: bool, raced: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dtypes, "this_machine", lambda: Machine("any", gpu=gpu, peer=True))
    monkeypatch.setattr(dtypes, "multiplies_bfloat16", lambda: fast)
    assert dtypes.raced() == raced
    assert [each.setting["dtype"] for each in dtypes.contenders("predict", {})][::2] == list(raced)


@pytest.mark.usefixtures("inline")
def test_input(tmp_path: Path) -> None:
    file = input.measure(input.Flags(**NARROW, side=32, batch=2, batches=2, steps=2, turns=1, out=tmp_path))
    assert [len(names) for names in contenders(file).values()] == [2, 2, 2]
    waiting, whole = json.loads(file.read_text())["cases"][2]["contenders"].values()
    assert 0 < waiting["median_seconds"] < whole["median_seconds"]


def test_little_of_the_input_of_a_turn_on_a_gpu_is_drawn_before_it() -> None:
    assert input.STEPS[True] >= 20 * AHEAD


@pytest.mark.usefixtures("inline")
def test_conversion(tmp_path: Path) -> None:
    file = conversion.measure(conversion.Flags(**NARROW, turns=1, out=tmp_path))
    assert contenders(file) == {"read a file": ["PyTorch", "jaxseg"], "convert, compare, write": ["jaxseg"]}


def test_study(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As it is: a worker of its own, and a sweep with its workers."""
    file = study.measure(study.Flags(**NARROW, epochs=1, runs=2, workers=1, turns=1, out=tmp_path))
    _, *studies = (case["contenders"]["jaxseg"]["median_seconds"] for case in json.loads(file.read_text())["cases"])
    for whole, training, until_first_step in (studies[:3], studies[3:]):
        assert 0 < training < training + until_first_step < whole
    whole, training, until_first_step = studies[:3]
    assert f"{study.overhead(whole, training, until_first_step):.1%} of training" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("gpu", "visible", "options", "gpus"),
    [(True, None, ["0", "2"], ("0", "0")), (True, "3,1", ["3", "2"], ("3", "3")), (False, "0", ["none", "2"], ())],
)
def test_a_study_runs_where_its_results_are_filed(
    gpu: bool, visible: str | None, options: list[str], gpus: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "this_machine", lambda: Machine("H100", gpu=gpu, peer=True))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    given = study.at_once(2)
    assert given == ["--gpus", options[0], "--runs-per-gpu" if gpu else "--workers", options[1]]
    resources = choose(given[1], 2 if gpu else 1, None if gpu else 2, 100, 1)
    assert (resources.workers, resources.gpus) == (2, gpus)
    assert resources.environment()["JAX_PLATFORMS"].split(",")[0] == ("cuda" if gpu else "cpu")


def test_a_study_that_ran_elsewhere_is_not_filed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "this_machine", lambda: Machine("H100", gpu=True, peer=True))
    study._check_device({"H100"})
    with pytest.raises(RuntimeError, match="ran on cpu, not on H100"):
        study._check_device({"cpu"})


def test_overhead_of_a_study() -> None:
    assert study.overhead(whole=125.0, training=100.0, start=5.0) == pytest.approx(0.2)


@pytest.mark.usefixtures("inline")
def test_a_part_that_fails_stops_no_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def part(name: str) -> list[record.Case]:
        if name == "batch 64":
            raise RuntimeError("out of memory")
        return [record.Case(name, 1, "images", {"jaxseg": [1.0]})]

    parts = {name: functools.partial(part, name) for name in ("batch 4", "batch 64", "batch 8")}
    with pytest.raises(RuntimeError, match=r"^failed: train_step, batch 64$"):
        record.record_parts("train_step", record.Options(tmp_path), parts)
    [file] = tmp_path.iterdir()
    assert list(contenders(file)) == ["batch 4", "batch 8"]
    assert "out of memory" in capfd.readouterr().err


def test_a_benchmark_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure(name: str, flags: object) -> None:
        measured.append(name)
        if name == "inference":
            raise RuntimeError("out of memory")

    modules = (train_step, inference, input, conversion, start, study, placement, profile)
    for module in modules:
        name = module.__name__.removeprefix("benchmarks.")
        monkeypatch.setattr(module, "measure", functools.partial(measure, name))
    monkeypatch.setattr(benchmarks.__main__, "this_machine", lambda: Machine("H100", gpu=True, peer=True))
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    with pytest.raises(RuntimeError, match=r"^failed: benchmarks.inference$"):
        benchmarks.__main__.main()
    assert len(measured) == len(modules)


@pytest.mark.usefixtures("inline")
def test_of_a_race_what_failed_is_named_and_the_rest_recorded(tmp_path: Path) -> None:
    raced = [
        record.Case("batch 4", 4, "images", {"jaxseg": [1.0, 2.0], "PyTorch": []}),
        record.Case("batch 8", 8, "images", {"jaxseg": [], "PyTorch": [1.0, 2.0]}),
    ]
    with pytest.raises(RuntimeError, match=r"^failed: train_step, batch 4, PyTorch; train_step, batch 8, jaxseg$"):
        record.record_parts("train_step", record.Options(tmp_path), {"all": lambda: raced})
    [file] = tmp_path.iterdir()
    assert contenders(file) == {"batch 4": ["jaxseg"]}


@pytest.mark.parametrize("depth", [18, 50])
def test_the_peer_has_as_many_weights_as_ours(depth: int) -> None:
    model = pytorch.model_of({"depth": depth, "width": 1 / 16})
    shapes = network(ModelConfig(depth, 1 / 16))
    assert sum(p.numel() for p in model.parameters()) == sum(leaf.size for leaf in jax.tree.leaves(shapes.params))


def test_the_peer_cuts_the_same_crops() -> None:
    pixels, masks, sizes = material.stack(3, 40)
    placement = ours.plan_of({"side": 32, "batch": 3}).placement(0)
    centre = np.asarray(placement.centre) - 12.0  # so that some crops reach beyond the border
    image = np.arange(3, dtype=np.int32)
    expected, truth = render(pack(pixels, masks, sizes), Placement(image, centre, placement.matrix), 32)
    channels_first = torch.tensor(pixels).permute(0, 3, 1, 2).float()
    sights = pytorch.sights(centre, np.asarray(placement.matrix), channels_first)
    crops, classes = pytorch.crops(channels_first, torch.tensor(masks)[:, None].float(), *sights, 32)
    np.testing.assert_allclose(crops.permute(0, 2, 3, 1).numpy(), expected, atol=0.05)
    assert np.mean(classes[:, 0].numpy() == np.asarray(truth)) > 0.999  # ties of rounding aside


@pytest.mark.usefixtures("inline")
def test_results_become_lines_of_a_table_ours_first(tmp_path: Path) -> None:
    case = record.Case("batch 4", 4, "images", {"jaxseg": [2.0, 2.5], "PyTorch": [1.0, 1.0]})
    record.record("train_step", record.Options(tmp_path), [case])
    assert record.markdown(tmp_path).splitlines()[2:] == [
        "| 2 CPU cores | train_step | batch 4 | jaxseg | 2,250.0 | 2,000.0 | 1.78 images/s |  |  |",
        "| 2 CPU cores | train_step | batch 4 | PyTorch | 1,000.0 | 1,000.0 | 4 images/s | 0.45 | 0.50 |",
    ]
