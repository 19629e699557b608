"""Was this analysis done already? A digest of everything that went in, kept beside digests of what came out.

Imports nothing heavy: repeating an analysis of unchanged inputs must cost nothing and change no byte.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxseg.config import STUDY_FILE
from jaxseg.errors import JaxsegError
from jaxseg.files import read_json, sha256, write_json
from jaxseg.run_folder import RunFolder, runs_of

FILE_NAME = "analysis.json"


def inputs_digest(study: Path, choices: Iterable[object]) -> str:
    """Digest of study.json, all runs' small files, this package's own source, and what the caller chose."""
    lines = [repr(choice) for choice in choices]
    here = Path(__file__).parent
    for file in sorted(here.rglob("*")):
        if file.suffix in (".py", ".j2", ".css"):
            lines.append(f"source {file.relative_to(here)} {sha256(file)}")
    if (study / STUDY_FILE).is_file():
        lines.append(f"study {sha256(study / STUDY_FILE)}")
    for run in sorted((study / "runs").glob("*")):
        lines += [f"{run.name}/{file.name} {sha256(file)}" for file in _inputs(RunFolder(run)) if file.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _inputs(run: RunFolder) -> tuple[Path, ...]:
    """Its small files; only its state where it is not done, as a running one would change the digest all the time."""
    state = (run.config_file, run.error)
    if not run.done.exists():
        return state
    return (*state, run.done, run.weights, run.split, run.scores, run.class_scores, run.log)


def is_current(study: Path, digest: str) -> bool:
    """True when the last analysis had the same inputs and all that it wrote still stands unchanged."""
    record = _record(study)
    if record.get("inputs") != digest:
        return False
    files = {study / name: expected for name, expected in record["outputs"].items()}
    return bool(files) and all(file.is_file() and sha256(file) == expected for file, expected in files.items())


def finished(study: Path) -> dict[str, str]:
    """Digests of what says that a run has finished, and of the study that asked for them: by name, read in no time."""
    files = [study / STUDY_FILE, *(run.done for run in runs_of(study))]
    return {str(file.relative_to(study)): sha256(file) for file in files if file.is_file()}


def is_complete(study: Path) -> bool:
    """Whether the last analysis opened all that it could, saw what has finished by now, and its files are there."""
    record = _record(study)
    whole = record.get("inputs") is not None and record.get("finished") == finished(study)
    return whole and all((study / name).is_file() for name in record["outputs"])


def keep_record(
    study: Path, digest: str | None, outputs: Iterable[Path], opened: Iterable[str], finished: dict[str, str]
) -> None:
    """Write down what went in and came out, and remove what only an earlier analysis had written.

    Args:
        digest: of what went in; None where a model or dataset could not be opened, so that the next one starts afresh.
        outputs: what was written.
        opened: datasets whose images were there for features and pictures.
        finished: what `finished` gave before any of it was read.
    """
    digests = {str(file.relative_to(study)): sha256(file) for file in sorted(outputs)}
    for name in set(_record(study).get("outputs", {})) - set(digests):
        file = (study / name).resolve()
        if file.is_relative_to(study.resolve()):
            file.unlink(missing_ok=True)
    write_json(
        study / FILE_NAME, {"inputs": digest, "outputs": digests, "opened": sorted(opened), "finished": finished}
    )


def opened_before(study: Path) -> list[str]:
    """Datasets whose images the last analysis had for features and pictures."""
    return [str(name) for name in _record(study).get("opened", [])]


def _record(study: Path) -> dict[str, Any]:
    """The last record; empty where there is none or it is damaged: then the analysis is simply made again."""
    try:
        record = read_json(study / FILE_NAME, remedy="")
    except JaxsegError:
        return {}
    complete = isinstance(record, dict) and isinstance(record.get("outputs"), dict)
    return record if complete else {}
