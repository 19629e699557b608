"""Workers have cores of their own where their host has enough of them."""

import pytest

from jaxseg.execution.workers import ANY, OWN, suited


@pytest.mark.parametrize(
    ("workers", "cores", "asked", "given"),
    [(2, 2, OWN, OWN), (2, 1, OWN, ANY), (9, 8, OWN, ANY), (8, 64, OWN, OWN), (1, 1, ANY, ANY), (4, 2, ANY, ANY)],
)
def test_more_workers_than_cores_take_any(workers: int, cores: int, asked: str, given: str) -> None:
    def arguments(affinity: str) -> list[str]:
        return [f"--max_workers_per_node={workers}", "-p", "0", "--cpu-affinity", affinity, "--mpi-launcher=mpiexec"]

    assert suited(arguments(asked), cores) == arguments(given)
