"""The study that a folder belongs to."""

from pathlib import Path

from jaxseg.config import STUDY_FILE, Study
from jaxseg.files import read_value


def read_study(folder: Path) -> Study:
    """The study of a study folder; `InputError` where study.json is missing or unreadable."""
    remedy = "give the folder that launch/sweep.py was given with --out"
    return read_value(folder / STUDY_FILE, Study.from_json, what="a study", remedy=remedy)
