"""The commands as people type them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fabricated
import pytest
from safetensors.torch import save_file

from jaxseg.errors import InputError, UsageError
from weights_convert.cli import main
from weights_convert.sources import SOURCES

STATISTICS = ["--mean", "0.7", "0.5", "0.6", "--std", "0.2", "0.3", "0.2"]


def test_convert_verify_and_inspect(resnet18: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "weights"
    terms = ["--licence", "CC0", "--citation", "Us 2026", "--address", "our shelf"]
    main(["convert", str(resnet18), "--out", str(out), "--name", "made_up", *terms, *STATISTICS])
    said = capsys.readouterr().out
    assert "plain, ResNet18, width 0.0625" in said
    assert "CC0" in said
    assert "PyTorch: stem " in said
    receipt = json.loads((out / "made_up" / "receipt.json").read_text())
    assert (receipt["mean"], receipt["std"]) == ([0.7, 0.5, 0.6], [0.2, 0.3, 0.2])
    assert [receipt[term] for term in ("licence", "citation", "address")] == terms[1::2]
    main(["verify", str(out / "made_up"), "--against", str(resnet18)])
    said = capsys.readouterr().out
    assert "made_up: sound" in said
    assert "bit for bit" in said
    (tmp_path / "other.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"other\.pth: is not the file of the receipt"):
        main(["verify", str(out / "made_up"), "--against", str(tmp_path / "other.pth")])
    main(["inspect", str(resnet18)])
    said = capsys.readouterr().out
    assert receipt["sha256"] in said
    assert "ResNet18, width 0.0625" in said
    assert "plain (names as torchvision's)" in said
    assert "20: PyTorch's counter of batches" in said


def test_inspect_describes_a_file_that_cannot_be_converted(
    state: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = fabricated.save({f"trunk.{name}": x for name, x in state.items()}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="no layout fits"):
        main(["inspect", str(file)])
    said = capsys.readouterr().out
    assert "trunk.conv1.weight  float32 (4, 3, 7, 7)" in said
    assert "more" in said


def test_list_names_every_source_with_its_terms(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    said = "".join(part.strip() for part in capsys.readouterr().out.replace("│", "\n").splitlines())
    for source in SOURCES:
        statistics = " ".join(map(str, source.mean))
        for text in (source.name, source.licence, source.files[0], source.address, statistics):
            assert text.replace(" ", "") in said.replace(" ", "")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-m", "weights_convert", *arguments], cwd=root, capture_output=True, text=True, check=False
    )


def test_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"")
    bad = command("convert", str(tmp_path / "a.pth"), "--out", str(tmp_path / "weights"), "--source", "dino")
    assert bad.returncode == 3
    assert bad.stderr.startswith(f"error: {tmp_path / 'a.pth'}: is not a file of weights: it is empty")
    assert command("convert", "--nonsense").returncode == 2


def test_options_that_cannot_be_used_are_told_as_they_were_typed(resnet18: Path, tmp_path: Path) -> None:
    convert = ["convert", str(resnet18), "--out", str(tmp_path / "weights")]
    with pytest.raises(UsageError, match=r"found: +--source dino --mean 0\.7 0\.5 0\.6 --std 0\.2 0\.3 0\.2\n"):
        main([*convert, "--source", "dino", *STATISTICS])
    with pytest.raises(UsageError, match=r"stands for weights that are drawn\n +found: +random\n +remedy"):
        main([*convert, "--name", "random", *STATISTICS])
    assert not (tmp_path / "weights").exists()


def test_a_file_that_is_not_the_published_one_is_taken_where_that_is_asked_for(resnet18: Path, tmp_path: Path) -> None:
    convert = ["convert", str(resnet18), "--out", str(tmp_path), "--source", "dino"]
    with pytest.raises(InputError, match=r"is not the architecture of dino(.|\n)*--allow-other-file"):
        main(convert)
    main([*convert, "--allow-other-file"])
    receipt = json.loads((tmp_path / "dino" / "receipt.json").read_text())
    assert (receipt["source"], receipt["mean"]) == ("dino", [0.485, 0.456, 0.406])


def test_verify_asks_what_to_verify() -> None:
    with pytest.raises(UsageError, match=r"nothing to verify\n.*verify WEIGHTS_DIR/NAME"):
        main(["verify"])


def test_verify_needs_no_pytorch(state: Any, tmp_path: Path) -> None:
    save_file(state, tmp_path / "a.safetensors")
    out = str(tmp_path / "weights")
    main(["convert", str(tmp_path / "a.safetensors"), "--out", out, "--name", "made_up", *STATISTICS])
    program = "import sys; from weights_convert.cli import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", program, "verify", f"{out}/made_up"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "made_up: sound" in done.stdout, done.stderr
