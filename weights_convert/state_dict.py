"""State dicts as bytes: what `torch.save` and safetensors write."""

import io
from typing import Any

import numpy as np
import torch

from weights_convert.mapping import Tensors


def serialise(tensors: Tensors, suffix: str) -> bytes:
    """Content of a .safetensors, .pth or .pt file.

    PyTorch's counters of batches are added as 0, so that loading may be strict.
    """
    counters = {
        name.removesuffix("running_var") + "num_batches_tracked": np.zeros((), np.int64)
        for name in tensors
        if name.endswith(".running_var")
    }
    everything = {name: torch.tensor(x) for name, x in {**tensors, **counters}.items()}
    if suffix == ".safetensors":
        from safetensors.torch import save

        return save(everything)
    stream = io.BytesIO()
    torch.save(everything, stream)
    return stream.getvalue()


def parse(content: bytes, suffix: str) -> dict[str, np.ndarray]:
    """The inverse of `serialise`."""
    if suffix == ".safetensors":
        import safetensors.torch

        return _arrays(safetensors.torch.load(content))
    return _arrays(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))


def _arrays(tensors: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: x.numpy() for name, x in tensors.items()}
