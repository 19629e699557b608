"""What a single run tells while it goes on."""

from typing import Any

import pytest

from jaxseg.training import progress
from jaxseg.training.progress import live_view

LINE: dict[str, Any] = {
    "epoch": 2.5,
    "training_loss": 0.75,
    "validation_loss": 0.5,
    "best_validation_loss": 0.25,
    "validation_dice": 0.9,
    "images_per_second": 12.0,
}
IN_WORDS = "epoch 2.5  loss 0.7500  validation 0.5000 (best 0.2500)  Dice 0.9000  12.0 images/s"


def test_a_file_gets_the_first_step_and_a_word_for_each_quiet_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with live_view("a run") as on_step:
        for step in range(1, 31):
            now += 10
            on_step(step, 700, LINE if step == 12 else None)
    assert capsys.readouterr().out.splitlines() == [
        "a run: step 1 of 700",
        "a run: step 7 of 700, 1:55:30 left",
        IN_WORDS,
        "a run: step 18 of 700, 1:53:40 left",
        "a run: step 24 of 700, 1:52:40 left",
        "a run: step 30 of 700, 1:51:40 left",
    ]


def test_a_terminal_gets_a_bar_and_the_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with live_view("a run") as on_step:
        on_step(1, 700, None)
        on_step(2, 700, LINE)
    shown = capsys.readouterr().out
    assert IN_WORDS in shown
    assert "2/700 steps" in shown
    assert "step 1 of 700" not in shown
