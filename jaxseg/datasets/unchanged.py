"""Whether prepared data are still those that a run was trained and scored on."""

import functools
from collections.abc import Callable
from pathlib import Path

from jaxseg.datasets.prepared import read_card
from jaxseg.errors import InputError, JaxsegError
from jaxseg.run_folder import RunFolder

Fingerprints = Callable[[str], str | None]


def fingerprints(data_dir: Path) -> Fingerprints:
    """Of prepared datasets, by name; None where one is not at hand or damaged. Each card is read once."""

    @functools.cache
    def fingerprint(name: str) -> str | None:
        try:
            return read_card(name, data_dir).fingerprint
        except JaxsegError:  # told where the data are needed
            return None

    return fingerprint


def check_unchanged(folder: RunFolder, prepared: Fingerprints) -> None:
    """`InputError` where a dataset was prepared anew, and holds other data than a run was trained or scored on.

    What is not prepared, or not recorded, is not looked at.
    """
    runs = folder.path.parent
    for use, recorded in (("trained", folder.trained_on()), ("scored", folder.scored_on())):
        for name, former in recorded.items():
            found = prepared(name)
            stale = f"{runs}/{name}-*" if use == "trained" else f"{runs}/*/DONE.json and {runs}/*/scores.parquet"
            if found not in (None, former):
                raise InputError(
                    f"the prepared data of {name} are not those that runs were {use} on",
                    found=f"fingerprint {found[:12]}",
                    expected=f"fingerprint {former[:12]}",
                    remedy=f"bring the former data back; or delete {stale} and repeat the command",
                )
