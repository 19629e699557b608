"""Score a finished run on test datasets: python launch/evaluate.py RUN --datasets crag glas

With --ablation the windows' size and stride are varied as well (the paper reads "averaged over a window size of
128 pixels"); the table is written to <run>/ablation.csv.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxseg.command import command
from jaxseg.config import Locations
from jaxseg.execution.failing_gpus import told
from jaxseg.execution.start import prepare_process


@dataclass(frozen=True)
class Flags:
    """Options of the command.

    Attributes:
        run: folder of a finished run.
        datasets: prepared datasets to score on besides those that were scored already.
        ablation: vary size and stride of the windows, and whether they overlap.
        data_dir: prepared datasets (else JAXSEG_DATA, else ./data).
    """

    run: tyro.conf.Positional[Path]
    datasets: tuple[str, ...] = ()
    ablation: bool = False
    data_dir: Path | None = None


def main() -> None:
    flags = tyro.cli(Flags, description=__doc__)
    prepare_process()
    data_dir = Locations.choose(flags.data_dir, None).data
    from jaxseg.evaluation.ablation import ablate
    from jaxseg.evaluation.scoring import score_more, summarise
    from jaxseg.run_folder import RunFolder

    folder = RunFolder(flags.run)
    with told():
        score_more(folder, flags.datasets, data_dir)
        print(summarise(folder))
        if flags.ablation:
            print(f"{ablate(folder, data_dir).round(4).to_string(index=False)}\n{folder.ablation}")


if __name__ == "__main__":
    command(main)
