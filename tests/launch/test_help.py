"""The help of the commands: what is to be typed stands on a line of its own, as in the docstring."""

import ast
import runpy
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).resolve().parents[2] / "launch").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_commands_in_the_help_can_be_copied(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ast.get_docstring(ast.parse(program.read_text())) or ""
    commands = [line.strip() for line in text.splitlines() if line.strip().startswith(("python ", "srun "))]
    monkeypatch.setattr(sys, "argv", [str(program), "--help"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        runpy.run_path(str(program), run_name="__main__")
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [command for command in commands if command not in said] == []
