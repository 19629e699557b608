"""TensorBoard's writer without PyTorch.

tensorboardX imports PyTorch wherever it is installed, for tensors that it is never given here; that would cost every
worker seconds and memory, and PyTorch is to be needed by conversion alone. So it is hidden during that import.
"""

import contextlib
import sys
from collections.abc import Iterator

__all__ = ["SummaryWriter"]


@contextlib.contextmanager
def _hidden(module: str) -> Iterator[None]:
    former = sys.modules.pop(module, None)
    sys.modules[module] = None  # type: ignore[assignment]  # makes its import an ImportError
    try:
        yield
    finally:
        del sys.modules[module]
        if former is not None:
            sys.modules[module] = former


with _hidden("torch"):
    from tensorboardX import SummaryWriter
