"""PyTorch is needed by conversion and export alone."""

from jaxseg.errors import UsageError


def check_torch(purpose: str) -> None:
    """`UsageError` that names the extra to install, where PyTorch is missing."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"PyTorch is needed to {purpose}", found=str(error), remedy='pip install "jaxseg[convert]"'
        ) from error
