"""What a study still has to do: all its runs, their state, and why some cannot start."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxseg.config import STUDY_FILE, Locations, RunConfig, Study, TrainedWeights
from jaxseg.datasets.fitting import classes_of
from jaxseg.datasets.unchanged import Fingerprints, fingerprints
from jaxseg.errors import InputError, UsageError
from jaxseg.execution import available
from jaxseg.files import check_may_be_folder, read_value
from jaxseg.models.receipt import FILE_NAME as RECEIPT
from jaxseg.run_folder import RunFolder, runs_of
from jaxseg.wording import listed

State = Literal["done", "running", "partial", "ready", "waiting", "missing", "failed"]
STATES: tuple[State, ...] = ("done", "running", "partial", "ready", "waiting", "failed", "missing")


@dataclass(frozen=True)
class Item:
    """One run of a study.

    Attributes:
        tested_on: prepared datasets that it is scored on.
        keeps: names under which its encoder becomes initial weights of other runs.
        weights_dir: where its own initial weights lie.
        after: id of the run that makes its initial weights, where they are not there yet.
        state: done; running, as `--status` tells of a sweep at work; partial (resumes); ready; waiting for `after`;
            failed last time (is tried again); missing (data or weights are not there, do not fit, or are others than it
            was trained on: cannot start).
        why: what is missing, or why it failed.
    """

    run: RunConfig
    tested_on: tuple[str, ...]
    keeps: tuple[str, ...]
    weights_dir: Path
    after: str | None = None
    state: State = "ready"
    why: str = ""

    @property
    def id(self) -> str:
        return self.run.run_id


@dataclass(frozen=True)
class Plan:
    """All runs of a study, makers of weights first, then by dataset, so that warm workers keep compiled functions."""

    study: Study
    folder: Path
    locations: Locations
    items: tuple[Item, ...]
    notes: tuple[str, ...]  # missing data and weights, each with its remedy

    def of(self, *states: State) -> list[Item]:
        return [item for item in self.items if item.state in states]

    @property
    def startable(self) -> list[Item]:
        return self.of("ready", "partial", "failed", "waiting")

    @property
    def to_come(self) -> list[Item]:
        """All that is not done, also what cannot start yet."""
        return [item for item in self.items if item.state != "done"]


def check_can_start(plan: Plan) -> None:
    """`InputError` where runs are left and none of them can start; the plan's notes tell why."""
    if plan.to_come and not plan.startable:
        problem = f"none of the {len(plan.to_come)} runs that are left can start: data or weights are missing or bad"
        raise InputError(problem, remedy="see what is listed as missing")


def study_weights(folder: Path) -> Path:
    """Where the weights lie that the study trains for itself."""
    return folder / "weights"


def make_plan(study: Study, folder: Path, locations: Locations) -> Plan:
    """Look at the study folder, the data and the weights; reads a few small files and writes nothing."""
    makers = _makers(study)
    class_names = next(filter(None, (classes_of(name, locations.data) for name in study.tested_on)), ())
    problems = {
        name: available.data_problem(name, study.task, study.recipe.model.classes, locations.data, class_names)
        for name in study.tested_on
    }
    here = _Here(folder, locations, problems, makers, fingerprints(locations.data))
    items: dict[str, Item] = {}
    grid = dict.fromkeys(study.runs())
    everywhere = tuple(name for name in study.tested_on if problems[name] is None)  # scored where data are there
    for run in _in_order([*(maker.run for maker in study.trained_weights), *grid], makers):
        tested_on = everywhere if run in grid else (run.dataset,)
        keeps = tuple(name for name, maker in makers.items() if maker.run == run)
        weights_dir = study_weights(folder) if run.weights in makers else locations.weights
        item = Item(run, tested_on, keeps, weights_dir)
        items[item.id] = _judge(item, here, items)
    notes = [*filter(None, problems.values()), *_missing(items, makers)]
    return Plan(study, folder, locations, tuple(items.values()), tuple(dict.fromkeys(notes)))


def _missing(items: dict[str, Item], makers: dict[str, TrainedWeights]) -> Iterator[str]:
    """Why runs cannot start; weights are named as well where it is data that is missing first."""
    for item in items.values():
        if item.state == "missing":
            yield item.why
            if item.run.weights not in makers:
                yield available.weights_problem(item.run.weights, item.run.recipe.model, item.weights_dir) or item.why


def _makers(study: Study) -> dict[str, TrainedWeights]:
    makers = {weights.name: weights for weights in study.trained_weights}
    if len(makers) < len(study.trained_weights):
        raise UsageError("two of the study's trained weights have one name", found=list(makers))
    return makers


def _in_order(runs: list[RunConfig], makers: dict[str, TrainedWeights]) -> list[RunConfig]:
    """Each run once, after the one that makes its weights; `UsageError` where weights need themselves."""
    ordered: dict[RunConfig, None] = {}
    left = list(dict.fromkeys(runs))
    while left:
        able = [run for run in left if run.weights not in makers or makers[run.weights].run in ordered]
        if not able:
            raise UsageError("the study's trained weights need each other", found=sorted({r.weights for r in left}))
        ordered.update(dict.fromkeys(able))
        left = [run for run in left if run not in ordered]
    return list(ordered)


class _Here(NamedTuple):
    """What the runs of a study are judged by.

    Attributes:
        problems: of the datasets to test on, None where one has none.
        makers: of weights, by name.
    """

    folder: Path
    locations: Locations
    problems: dict[str, str | None]
    makers: dict[str, TrainedWeights]
    prepared: Fingerprints


def _judge(item: Item, here: _Here, before: dict[str, Item]) -> Item:
    run_folder, makers = RunFolder.of(here.folder, item.run), here.makers
    if why := available.change(run_folder, here.prepared):
        return dataclasses.replace(item, state="missing", why=why)
    kept = all((study_weights(here.folder) / name / RECEIPT).is_file() for name in item.keeps)
    if kept and run_folder.is_done(item.tested_on):
        return dataclasses.replace(item, state="done")
    if why := _data_problem(item.run, here):
        return dataclasses.replace(item, state="missing", why=why)
    maker = before[makers[item.run.weights].run.run_id] if item.run.weights in makers else None
    if maker is not None and maker.state == "missing":
        why = f"weights {item.run.weights} cannot be trained: the run {maker.id} cannot start"
        return dataclasses.replace(item, state="missing", why=why)
    if maker is not None and maker.state != "done":
        return dataclasses.replace(item, state="waiting", after=maker.id, why=f"waits for {maker.id}")
    if why := available.weights_problem(item.run.weights, item.run.recipe.model, item.weights_dir):
        return dataclasses.replace(item, state="missing", why=why)
    if run_folder.error.exists():
        return dataclasses.replace(item, state="failed", why=run_folder.read_error().partition("\n")[0])
    return dataclasses.replace(item, state="partial" if run_folder.checkpoints.exists() else "ready")


def _data_problem(run: RunConfig, here: _Here) -> str | None:
    if run.dataset in here.problems:
        return here.problems[run.dataset]
    return available.data_problem(run.dataset, None, run.recipe.model.classes, here.locations.data)


def stored_study(folder: Path) -> Study | None:
    """The study that the folder was made for; None for a new folder."""
    file = folder / STUDY_FILE
    if not file.exists():
        return None
    remedy = f"delete {file}, it is written anew; the runs stay valid"
    return read_value(file, Study.from_json, what="a study", remedy=remedy)


def check_same_study(study: Study, folder: Path) -> None:
    """`UsageError` where the folder holds another study.

    A study may grow or shrink in datasets, weights, fractions and repeats: what is there stays valid, because a run's
    id is a digest of all that it depends on. So a folder is refused only when the study there has another name or
    none of its runs is in this one (another recipe changes all ids), which would mix two studies in one report; and
    not where no run has begun there. `InputError` where it cannot become a folder.
    """
    check_may_be_folder(folder)
    former = stored_study(folder)
    if former is None or former == study or not runs_of(folder):
        return
    remedy = "choose another folder with --out"
    if former.name != study.name:
        raise UsageError("holds another study", file=folder, found=former.name, expected=study.name, remedy=remedy)
    if not {run.run_id for run in former.runs()} & {run.run_id for run in study.runs()}:
        there, here = (_flat(one.to_json()) for one in (former, study))
        changed = [field for field in here if here[field] != there.get(field) and field != "title"]
        raise UsageError(
            "holds a study of this name, none of whose runs is in this one",
            file=folder,
            found=listed(f"{field} {there.get(field)}" for field in changed),
            expected=listed(f"{field} {here[field]}" for field in changed),
            remedy=f"{remedy}; another recipe makes other runs",
        )


def _flat(value: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Fields by dotted name, as configurations write them: recipe.model.depth."""
    flat: dict[str, Any] = {}
    for name, one in value.items():
        flat |= _flat(one, f"{above}{name}.") if isinstance(one, dict) else {above + name: one}
    return flat
