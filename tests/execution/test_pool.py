"""What a sweep asks of a cluster before it asks for workers."""

import socket
from pathlib import Path

import pytest

from jaxseg.errors import UsageError
from jaxseg.execution.lease import hold_study
from jaxseg.execution.pool import Slurm, parsl_pool
from jaxseg.execution.resources import Resources


@pytest.mark.parametrize("address", ["127.0.1.1", None])
def test_a_host_that_nodes_would_not_find_is_refused(
    address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their jobs would start, look for it in vain, and end, one after the other."""

    def look_up(name: str) -> str:
        if address is None:
            raise socket.gaierror("Name or service not known")
        return address

    (tmp_path / "sbatch").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(socket, "gethostbyname", look_up)
    told = rf"found: +{socket.gethostname()}: {address or 'no address'}\n(.|\n)*--slurm\.address"
    with (
        hold_study(tmp_path) as lease,
        pytest.raises(UsageError, match=told),
        parsl_pool(tmp_path, Resources(1), Slurm(), lease),
    ):
        pass
