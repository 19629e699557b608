"""What the live view knows and shows."""

import dataclasses
import io
from pathlib import Path

import pytest
from conftest import sweep
from rich.console import Console

from jaxseg.config import Locations, Study
from jaxseg.execution import view
from jaxseg.execution.plan import make_plan
from jaxseg.execution.progress import Progress, duration, last_entry
from jaxseg.execution.view import LiveView, PlainView, screen, summary, view_for
from jaxseg.execution.work import Outcome
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder

LINE = '{"epoch": 1.5, "training_loss": 0.25, "validation_dice": 0.75, "images_per_second": 12.0}\n'


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def progress(study: Study, tmp_path: Path, locations: Locations) -> Progress:
    plan = make_plan(study, tmp_path, locations)
    items = {item.id: item for item in plan.items}
    states = dict.fromkeys(items, "queued")
    return Progress(tmp_path, tmp_path / "marks", items, states, dict.fromkeys(items, 10.0), Clock())


def begin(progress: Progress, number: int, line: str = LINE) -> str:
    id = list(progress.items)[number]
    run = progress.items[id].run
    folder = RunFolder.of(progress.study, run)
    folder.create(run)
    folder.log.write_text(line)
    write_json(progress.marks / id, {})
    return id


def test_last_entry_leaves_out_a_line_cut_short(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert last_entry(log) == {}
    log.write_text('{"epoch": 1}\n' + " " * 5000 + '\n{"epoch": 2}\n{"epo')
    assert last_entry(log) == {"epoch": 2}
    for damaged in ('{"epo', '{"epo\n', "\0\0\n", "[1]\n"):
        log.write_text(damaged)
        assert last_entry(log) == {}


def test_runs_that_wait_for_weights_count_in_the_time_left(progress: Progress) -> None:
    first, second, *rest = progress.items
    progress.states |= {first: "done", second: "waiting"}
    assert isinstance(progress.clock, Clock)
    progress.clock.now += 50
    assert progress.seconds_left() == pytest.approx(50 * (1 + len(rest)))


def test_counts_share_and_time_left(progress: Progress) -> None:
    clock = progress.clock
    assert isinstance(clock, Clock)
    assert progress.seconds_left() is None
    first, second, third, *_ = progress.items
    progress.states[first] = "done"
    begin(progress, 1)  # epoch 1.5 of 3: half of it
    progress.states[third] = "failed"
    clock.now += 30
    assert progress.counts() == {"done": 1, "running": 1, "failed": 1, "queued": 2}
    assert progress.share() == pytest.approx(15 / 40), "a failed run is no work to come"
    # 15 units in 30 s; 30 queued units are left, 5 of them done already
    assert progress.seconds_left() == pytest.approx(50)
    (running,) = progress.running()
    assert (running.id, running.epoch, running.loss, running.dice, running.speed) == (second, 1.5, 0.25, 0.75, 12.0)


def test_a_run_that_has_ended_is_at_work_no_more_though_its_worker_left_a_mark(progress: Progress) -> None:
    progress.states[begin(progress, 0)] = "failed"
    assert progress.running() == []
    assert progress.counts() == {"failed": 1, "queued": 4}


def test_a_run_that_is_trained_still_has_to_be_scored(progress: Progress) -> None:
    first, *others = progress.items
    progress.states.update(dict.fromkeys(others, "failed"))
    progress = dataclasses.replace(progress, scoring={first: 4.0})
    begin(progress, 0, LINE.replace("1.5", "3.1"))  # the last batch runs over the last epoch's end
    assert isinstance(progress.clock, Clock)
    progress.clock.now += 30
    assert progress.share() == pytest.approx(6 / 10)
    assert progress.seconds_left() == pytest.approx(4 * 30 / 6)


def test_work_of_an_earlier_sweep_does_not_count_as_speed(progress: Progress) -> None:
    begin(progress, 0)
    later = dataclasses.replace(progress)
    assert isinstance(later.clock, Clock)
    later.clock.now += 10
    assert later.seconds_left() is None
    assert later.share() == pytest.approx(5 / 50)


def test_live_screen(progress: Progress) -> None:
    id = begin(progress, 0)
    progress.stopping = True
    console = Console(file=io.StringIO(), force_terminal=True, width=120, record=True)
    live = view_for(console, progress)
    assert isinstance(live, LiveView)
    with live:
        live.refresh()
        live.ended(list(progress.items)[1], Outcome("failed", "no space left\n  remedy"))
    text = console.export_text()
    for part in (
        id,
        "2/3",
        "0.250",
        "0.750",
        "12.0",
        "0/5 done, 1 running, 4 queued",
        "no space left",
        "Ctrl-C again",
    ):
        assert part in text


def test_more_runs_than_fit_the_screen_are_counted_and_none_is_beyond_its_last_epoch(
    progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "SHOWN", 1)
    for number in range(3):
        begin(progress, number, LINE.replace("1.5", "3.6"))
    console = Console(file=io.StringIO(), width=120)
    console.print(screen(progress))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "and 2 more" in text
    assert text.count("3/3") == 1


def test_plain_lines(progress: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(progress, 0)
    console = Console(file=io.StringIO(), force_terminal=False)
    plain = view_for(console, progress)
    assert isinstance(plain, PlainView)
    with plain:
        plain.refresh()
        plain.ended("a-run", Outcome("done"))
        monkeypatch.setattr(view.time, "monotonic", lambda: 1e12)
        plain.refresh()
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert output.count("0/5 done, 1 running, 4 queued") == 3, "start, end of a run, heartbeat; no more"
    assert "done  a-run" in output
    assert "epoch 2/3  loss 0.250  Dice 0.750  images/s 12.0" in output


def test_stopped_runs_are_counted_not_listed(progress: Progress) -> None:
    """Most of hundreds had not begun."""
    console = Console(file=io.StringIO(), force_terminal=False)
    with view_for(console, progress) as plain:
        progress.stopping = True
        for id in list(progress.items)[1:]:
            progress.states[id] = "stopped"
            plain.ended(id, Outcome("stopped"))
        progress.states[next(iter(progress.items))] = "done"
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == ["0/5 done, 5 queued", "1/5 done, 4 stopped"]


def test_summary_names_what_failed(progress: Progress) -> None:
    progress.states.update(dict.fromkeys(list(progress.items)[:2], "failed"))
    assert summary(progress) == "0/5 done, 3 queued, 2 failed"


def test_duration() -> None:
    seconds = (None, 5.4, 65, 3900, 90000, 864000)
    assert [duration(s) for s in seconds] == ["unknown", "5 s", "1 min 05 s", "1 h 05 min", "25 h 00 min", "10.0 days"]
    assert [duration(s) for s in (59.7, 119.7, 3599.7)] == ["1 min 00 s", "2 min 00 s", "1 h 00 min"]


def test_sweep_tells_every_run_on_plain_output(study: Study, tmp_path: Path, locations: Locations) -> None:
    console = Console(file=io.StringIO())
    sweep(study, tmp_path / "study", locations, console=console).run()
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(f"done  {run.run_id}" in output for run in study.runs())
    assert f"report: {tmp_path / 'study' / 'report.html'}" in output
    assert output.rstrip().endswith("5 runs done")
