"""The common PyTorch U-Net: the very module that the parity tests hold ours against, so that both are one layout."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from torch_unet import ResNet, TorchUNet

__all__ = ["ResNet", "TorchUNet"]
