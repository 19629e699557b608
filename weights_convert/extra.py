"""PyTorch and ONNX are needed by conversion and export alone."""

import importlib

from jaxseg.errors import UsageError

REMEDY = 'in the folder of the project: pip install -c constraints.txt -e ".[convert]"'


def check_torch(purpose: str) -> None:
    """`UsageError` that names the extra to install, where PyTorch is missing."""
    _check("torch", "PyTorch is", purpose)


def check_onnx(purpose: str) -> None:
    """The same of onnx and onnxruntime."""
    for module in ("onnx", "onnxruntime"):
        _check(module, "onnx and onnxruntime are", purpose)


def _check(module: str, needed: str, purpose: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{needed} needed to {purpose}", found=str(error), remedy=REMEDY) from error
