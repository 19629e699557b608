"""Calls in pickles are found by our own scan: PyTorch's refusal is the second."""

from pathlib import Path

import pytest

from jaxseg.errors import InputError
from weights_convert import pickles


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02(ios\nsystem\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02\x83\x01\x00.",
        b"\x80\x02\x84\x01\x00\x00\x00.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    ],
    ids=["INST", "EXT1", "EXT2", "EXT4", "STACK_GLOBAL"],
)
def test_pickles_that_call_are_refused_before_pytorch_sees_them(content: bytes) -> None:
    with pytest.raises(InputError, match=r"(?s)a\.pth: .*at byte \d+"):
        pickles.check(content, 1, Path("a.pth"), 1000)
