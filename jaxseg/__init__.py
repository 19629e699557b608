"""Which pretrained ResNet50 should a pathology lab start from? U-Net segmentation studies in JAX.

`jaxseg.load("studies/demo/runs/<run id>")` opens a trained model anywhere, GPU or not.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["load"]

if TYPE_CHECKING:
    from jaxseg.inference.trained import load


def __getattr__(name: str) -> Any:  # imported on first use: the launcher must not pay for JAX
    if name == "load":
        from jaxseg.inference.trained import load

        return load
    raise AttributeError(f"module 'jaxseg' has no attribute {name!r}")
