"""Training and analysis import neither PyTorch nor ONNX, also where these are installed."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRA = ("torch", "safetensors", "onnx", "onnxruntime", "weights_convert")
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
import jaxseg, launch
for package in (jaxseg, launch):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        assert not {"torch", "safetensors", "onnx", "onnxruntime"} & sys.modules.keys(), module.name
"""


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_no_file_asks_for_them() -> None:
    files = [file for folder in ("jaxseg", "launch", "configs") for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    assert not [(file, name) for file in files for name in imported(file) if name in EXTRA]


def test_no_dependency_brings_them_along() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
