"""Is this host ready? `python launch/doctor.py` checks Python, packages, devices, disk, data and weights.

On the devices it trains a small net for a few steps; the first time that takes the compiler up to a minute or two.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxseg.command import command
from jaxseg.config import Locations
from jaxseg.console import Console
from jaxseg.errors import InputError
from jaxseg.execution.doctor import examine


@dataclass(frozen=True)
class Flags:
    """Options of the command.

    Attributes:
        out: where studies would be written.
        data_dir: prepared datasets (else JAXSEG_DATA, else ./data).
        weights_dir: converted weights (else JAXSEG_WEIGHTS, else ./weights).
    """

    out: Path = Path("studies")
    data_dir: Path | None = None
    weights_dir: Path | None = None


def main() -> None:
    flags = tyro.cli(Flags, description=__doc__)
    constraints = Path(__file__).resolve().parents[1] / "constraints.txt"
    locations = Locations.choose(flags.data_dir, flags.weights_dir)
    findings = examine(locations, flags.out.absolute(), constraints)
    console = Console()
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        line = f"{'OK' if finding.well else '!!'}  {finding.what:<{width}}  {finding.found}"
        console.print(line, style=None if finding.well else "bold red", highlight=False, markup=False, soft_wrap=True)
        if finding.to_do:
            console.print(f"    {'':<{width}}  {finding.to_do}", highlight=False, markup=False, soft_wrap=True)
    bad = [finding.what for finding in findings if not finding.well]
    if bad:
        raise InputError(f"not ready: {', '.join(bad)}", remedy="see the lines marked !!")


if __name__ == "__main__":
    command(main)
