"""Published widths by hand; the model itself is compared with PyTorch's, and the estimates with the model."""

import subprocess
import sys

from jaxseg.config import DEPTHS
from jaxseg.models.architecture import BLOCKS, block_shapes, decoder_channels, stage_channels


def test_widths_by_hand() -> None:
    assert stage_channels(50, 1.0) == (64, 256, 512, 1024, 2048)
    assert stage_channels(18, 1 / 8) == (8, 8, 16, 32, 64)
    assert decoder_channels((256, 128, 64, 32, 16), 1.0) == (256, 128, 64, 32, 16)
    assert decoder_channels((256, 128, 64, 32, 16), 1 / 8) == (32, 16, 8, 8, 8), "never below eight"


def test_a_configuration_may_ask_for_what_there_is() -> None:
    assert tuple(BLOCKS) == DEPTHS


def test_the_stride_stands_in_the_3x3_convolution() -> None:
    assert block_shapes(256, 128, 2, 50) == [(256, 128, 1, 1), (128, 128, 3, 2), (128, 512, 1, 1)]
    assert block_shapes(64, 128, 2, 34) == [(64, 128, 3, 2), (128, 128, 3, 1)]


def test_importing_it_loads_no_jax() -> None:
    code = "import sys, jaxseg.models.architecture; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
