"""Reads what a study's runs left behind: one table of scores, and the state of every run."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from jaxseg.analysis.study_file import read_study
from jaxseg.config import RunConfig, Study
from jaxseg.errors import InputError
from jaxseg.evaluation.metrics import dice, jaccard
from jaxseg.files import of_system, read_value, unreadable
from jaxseg.run_folder import RunFolder, runs_of
from jaxseg.wording import listed

COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative")
WORDS = ("trained_on", "weights", "tested_on", "subset", "image", "patient")
COLUMNS = (*WORDS[:2], "fraction", "repeat", "budget", *WORDS[2:], "dice", "jaccard", *COUNTS)

State = Literal["done", "failed", "unfinished", "not started"]
Problem = tuple[str, object, object]  # of a table: what is wrong, what was found, what is expected


@dataclass(frozen=True)
class RunState:
    """One run of the study and how far it came.

    Attributes:
        run: its configuration; folder: where it lies or would lie.
        part: "grid", or "preparation" for a run that makes initial weights for the others.
        state: "done", "failed", "unfinished" (held by someone, or interrupted), "not started".
        reason: what error.txt says, where it failed.
        done: content of DONE.json, empty unless done.
    """

    run: RunConfig
    folder: RunFolder
    part: Literal["grid", "preparation"]
    state: State
    reason: str = ""
    done: dict[str, Any] = field(default_factory=dict)

    @property
    def remedy(self) -> str:
        """Of a damaged file of the run."""
        return f"delete {self.folder.path} and repeat the sweep, which makes this run again"


@dataclass(frozen=True)
class Results:
    """A study, the scores of its finished grid runs (columns: `COLUMNS`) and the state of all its runs."""

    study: Study
    scores: pd.DataFrame
    runs: tuple[RunState, ...]
    strangers: tuple[str, ...] = ()  # run folders that the study as it now stands does not ask for

    def finished(self) -> list[RunState]:
        return [state for state in self.runs if state.state == "done" and state.part == "grid"]

    def find(self, **wanted: object) -> list[RunState]:
        """Finished grid runs whose configuration has these values, by repeat."""
        hits = [s for s in self.finished() if all(getattr(s.run, key) == v for key, v in wanted.items())]
        return sorted(hits, key=lambda state: state.run.repeat)


def read_results(folder: Path) -> Results:
    """Read a study folder, finished or not.

    Raises:
        InputError: no study.json, no finished run, a damaged file of a finished run, or runs that
            were trained or scored on different data.
    """
    study = read_study(folder)
    grid = [_state(folder, run, "grid") for run in study.runs()]
    known = {state.run.run_id for state in grid}
    preparation = {t.run.run_id: t.run for t in study.trained_weights if t.run.run_id not in known}
    runs = (*grid, *(_state(folder, run, "preparation") for run in preparation.values()))
    strangers = {run.path.name for run in runs_of(folder)} - known - set(preparation)
    finished = [state for state in grid if state.state == "done"]
    if not finished:
        raise InputError(
            "no run of the study has finished",
            file=folder / "runs",
            expected=f"{len(grid)} runs",
            remedy="run or resume the study: python launch/sweep.py CONFIG --out STUDY; `--status` shows its state",
        )
    scores = pd.concat([_read_scores(state) for state in finished], ignore_index=True)
    _check_ground_truth(scores, folder)
    _check_same_data(finished, folder)
    return Results(study, scores, runs, tuple(sorted(strangers)))


def _state(study: Path, run: RunConfig, part: Literal["grid", "preparation"]) -> RunState:
    folder = RunFolder.of(study, run)
    if folder.done.exists():
        return RunState(run, folder, part, "done", done=folder.read_done())
    if folder.error.exists():
        return RunState(run, folder, part, "failed", reason=folder.error.read_text(errors="replace").strip())
    return RunState(run, folder, part, "unfinished" if folder.path.exists() else "not started")


def _read_scores(state: RunState) -> pd.DataFrame:
    table = read_table(state, state.folder.scores, lambda table: _problem(table, state.run))
    return table[list(COLUMNS)].astype(dict.fromkeys(COUNTS, np.int64))


def read_table(state: RunState, file: Path, judge: Callable[[pd.DataFrame], Problem | None]) -> pd.DataFrame:
    """A table of a finished run.

    Raises:
        UnreadableError: the system does not let us read it.
        InputError: it is missing or damaged, or `judge` finds something wrong with it.
    """
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        if of_system(error):
            raise unreadable(file, error) from error
        raise InputError(f"cannot be read as scores: {error}", file=file, remedy=state.remedy) from error
    if (wrong := judge(table)) is not None:
        problem, found, expected = wrong
        raise InputError(problem, file=file, found=found, expected=expected, remedy=state.remedy)
    return table


def _problem(table: pd.DataFrame, run: RunConfig) -> Problem | None:
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        return f"lacks columns: {', '.join(missing)}", list(table.columns), list(COLUMNS)
    expected = {"trained_on": run.dataset, "weights": run.weights, "fraction": run.fraction, "repeat": run.repeat}
    for name, value in expected.items():
        found = list(table[name].unique())
        if found != [value]:
            return f"scores of another run: {name}", found, value
    if set(table["budget"]) != set(run.recipe.budgets):
        return "other epoch budgets than the run's", sorted(set(table["budget"])), run.recipe.budgets
    if table.duplicated(["budget", "tested_on", "image"]).any():
        return "an image is scored twice", None, "one row per budget, test dataset and image"
    if table[list(WORDS)].isna().any(axis=None) or table[list(COUNTS)].lt(0).any(axis=None):
        return "empty names or negative counts", None, "a name in every row, counts of pixels"
    return wrong_score(table) if run.recipe.model.classes == 1 else None


def wrong_score(table: pd.DataFrame) -> Problem | None:
    """The first row whose Dice or Jaccard does not follow from its counts."""
    counts = [table[name].to_numpy(np.float64) for name in COUNTS[:3]]
    for name, score in (("dice", dice), ("jaccard", jaccard)):
        expected = score(*counts)
        wrong = ~np.isclose(table[name].to_numpy(np.float64), expected, atol=1e-5)
        if wrong.any():
            row = int(wrong.argmax())
            found = f"{table[name].iloc[row]} for image {table['image'].iloc[row]}"
            return f"{name} does not agree with the counts", found, f"{expected[row]:.6f}"
    return None


def _check_ground_truth(scores: pd.DataFrame, folder: Path) -> None:
    """All runs must have been scored on the same images with the same masks, or pairs mean nothing."""
    truth = scores.assign(
        foreground=scores["true_positive"] + scores["false_negative"],
        pixels=scores[list(COUNTS)].sum(axis=1),
    )
    remedy = "delete scores.parquet and DONE.json of the runs scored before the data changed; repeat the sweep"
    facts = truth.drop_duplicates(["tested_on", "image", "foreground", "pixels", "patient", "subset"])
    twice = facts[facts.duplicated(["tested_on", "image"])]
    if len(twice):
        row = twice.iloc[0]
        problem = f"runs disagree on the ground truth of image {row['image']} of {row['tested_on']}"
        raise InputError(problem, file=folder / "runs", remedy=remedy)
    identity = ["trained_on", "weights", "fraction", "repeat", "budget", "tested_on"]
    per_run = scores.groupby(identity)["image"].size().reset_index(name="images")
    uneven = per_run.groupby("tested_on")["images"].nunique()
    if (uneven > 1).any():
        name = uneven[uneven > 1].index[0]
        found = sorted(per_run.loc[per_run["tested_on"] == name, "images"].unique())
        raise InputError(
            f"runs were scored on different images of {name}", file=folder / "runs", found=found, remedy=remedy
        )


def _check_same_data(finished: list[RunState], folder: Path) -> None:
    """All runs must have been trained, and scored, on the same data of a dataset, or they cannot be compared."""
    for use, recorded in (("trained", RunFolder.trained_on), ("scored", RunFolder.scored_on)):
        runs: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for state in finished:
            for name, fingerprint in recorded(state.folder).items():
                runs[name][fingerprint].append(state.run.run_id)
        for name, by_data in runs.items():
            if len(by_data) > 1:
                raise InputError(
                    f"runs were {use} on different data of {name}, which was prepared anew in between",
                    file=folder / "runs",
                    found="; ".join(f"fingerprint {data[:12]}: {listed(ids)}" for data, ids in by_data.items()),
                    remedy="delete those of the former data and repeat the sweep, which makes them anew",
                )


def training_images(state: RunState) -> int | None:
    """Number of training images of a run, from its split.json; None where there is none.

    Raises:
        InputError: it is damaged.
    """
    return None if (images := _images_of(state, "train")) is None else len(images)


def unpaired_repeats(results: Results) -> list[str]:
    """A note per dataset whose runs of one repeat had different validation images: those of a version that divided
    patients by another rule stand beside newer ones.
    """
    divided: dict[tuple[str, int], set[frozenset[str]]] = defaultdict(set)
    for state in results.finished():
        if (images := _images_of(state, "validation")) is not None:
            divided[state.run.dataset, state.run.repeat].add(frozenset(images))
    uneven: dict[str, list[str]] = defaultdict(list)
    for (dataset, repeat), sets in divided.items():
        if len(sets) > 1:
            uneven[dataset].append(str(repeat))
    return [
        f"Runs of {dataset} had different validation images in one repeat (repeats {listed(repeats)}): some were made "
        "by a version that divided patients by another rule. Such repeats are no pairs, so that differences vary more. "
        "Delete the older of these runs and repeat the sweep, which makes them anew."
        for dataset, repeats in uneven.items()
    ]


def _images_of(state: RunState, part: Literal["train", "validation"]) -> list[str] | None:
    """Ids as split.json tells them; None where there is none."""
    if not state.folder.split.exists():
        return None
    return read_value(state.folder.split, lambda split: list(split[part]), what="a split", remedy=state.remedy)
