"""Small ResNets on disk, made once."""

from pathlib import Path

import fabricated
import pytest
from fabricated import State


@pytest.fixture(scope="session")
def state() -> State:
    """A narrow ResNet18 with torchvision's names."""
    return fabricated.resnet(18)


@pytest.fixture
def resnet18(state: State, tmp_path: Path) -> Path:
    """The same as a file."""
    return fabricated.save(state, tmp_path / "resnet18.pth")
