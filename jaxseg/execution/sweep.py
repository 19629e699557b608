"""A study from its configuration to its report: what is done is skipped, what is half done resumes."""

import concurrent.futures
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from jaxseg.analysis.fingerprint import is_complete
from jaxseg.config import REPORT_FILE, STUDY_FILE, Locations, Study
from jaxseg.console import Console
from jaxseg.errors import InputError, RunsFailedError, StoppedError
from jaxseg.execution import available, compile_cache, failing_gpus, report
from jaxseg.execution.lease import Lease, hold_study
from jaxseg.execution.plan import Item, Plan, check_same_study, make_plan, stored_study
from jaxseg.execution.pool import FOLDER, OpenPool, Pool, marks_folder, parsl_folder, why_not_run
from jaxseg.execution.progress import Progress
from jaxseg.execution.view import View, view_for
from jaxseg.execution.work import Assignment, Outcome, failed
from jaxseg.execution.workload import Workload
from jaxseg.files import write_json
from jaxseg.run_folder import RunFolder
from jaxseg.wording import counted

COMPLETE = "jaxseg.execution.complete"
ANALYZE = "jaxseg.analysis.analyze"
REFRESH = 0.5  # seconds


@dataclass(frozen=True)
class Sweep:
    """Everything that a sweep needs.

    Attributes:
        study: what to run; folder: where; locations: of data and weights.
        open_pool: gives the workers, see `jaxseg.execution.pool`.
        gpus: for each worker of a host the GPU that it uses; empty on CPUs.
        should_stop: asked often; true ends the sweep gently.
        analyse: write tables, figures and report at the end.
        complete, analyze: modules with the functions of these names.
    """

    study: Study
    folder: Path
    locations: Locations
    open_pool: OpenPool
    gpus: tuple[str, ...] = ()
    should_stop: Callable[[], bool] = lambda: False
    analyse: bool = True
    complete: str = COMPLETE
    analyze: str = ANALYZE
    console: Console = field(default_factory=Console)

    def run(self) -> None:
        """Bring the study to its end.

        A finished study is left as it is, to the byte.

        Raises:
            UsageError: the folder holds another study, or another sweep is at work on it.
            InputError: no run could start, because data or weights are missing or bad.
            RunsFailedError: some runs failed or could not start while others ran.
            StoppedError: on request; repeating the command resumes.
        """
        check_same_study(self.study, self.folder)
        plan = make_plan(self.study, self.folder, self.locations)
        as_stored = stored_study(self.folder) == self.study
        if not plan.startable and ((as_stored and self._report_is_current()) or not plan.of("done")):
            return self._close(plan, {})
        compile_cache.check()
        with hold_study(self.folder) as lease:
            plan = make_plan(self.study, self.folder, self.locations)  # another sweep may have ended meanwhile
            outcomes = self._work(plan, lease)
            unanalysed = self._analyse(lease)
        return self._close(plan, outcomes, unanalysed)

    def _write_study(self) -> None:
        if stored_study(self.folder) != self.study:
            write_json(self.folder / STUDY_FILE, self.study.to_json())

    def _work(self, plan: Plan, lease: Lease) -> dict[str, Outcome]:
        if not plan.startable:
            self._write_study()
            return {}
        marks = marks_folder(self.folder)
        shutil.rmtree(marks, ignore_errors=True)  # of a sweep that was killed
        for note in plan.notes:
            self.say(f"missing: {note}")
        with self.open_pool(lease) as pool:
            self._write_study()  # not before there are workers: a start that fails leaves the folder to other recipes
            progress = _progress(plan, marks)
            with view_for(self.console, progress) as view:
                outcomes = _Loop(self, plan, lease, pool, progress, view).run()
        if any(outcome.state == "stopped" for outcome in outcomes.values()):
            raise StoppedError("stopped; all is saved. Repeat the command to resume")
        return outcomes

    def assignment(self, item: Item, lease: Lease, marks: Path) -> Assignment:
        return Assignment(
            study=self.folder,
            run=item.run,
            tested_on=item.tested_on,
            keeps=item.keeps,
            data_dir=self.locations.data,
            weights_dir=item.weights_dir,
            program=self.complete,
            lock=lease.path,
            token=lease.token,
            marks=marks,
            gpus=self.gpus,
        )

    def _analyse(self, lease: Lease) -> RunsFailedError | None:
        """Write the report, where it is not written; returns what went wrong."""
        plan = make_plan(self.study, self.folder, self.locations)
        if self._report_is_current() or not plan.of("done"):
            return None
        self.say("analysing")
        log = parsl_folder(self.folder) / "report.out"
        try:
            report.write(self.folder, self.locations.data, self.analyze, lease, log, self.should_stop)
        except RunsFailedError as error:  # told after the runs that failed
            return error
        return None

    def _report_is_current(self) -> bool:
        return not self.analyse or is_complete(self.folder)

    def _close(self, plan: Plan, outcomes: dict[str, Outcome], unanalysed: RunsFailedError | None = None) -> None:
        """Say how it ended, and raise what the exit code is made of."""
        bad = {id: outcome.message for id, outcome in outcomes.items() if outcome.state == "failed"}
        missing = plan.of("missing")
        if not bad:
            for folder in (self.folder / FOLDER, parsl_folder(self.folder)):
                shutil.rmtree(folder, ignore_errors=True)
        if (self.folder / REPORT_FILE).exists():
            self.say(f"report: {self.folder / REPORT_FILE}")
        if not bad and not missing:
            if unanalysed is not None:
                raise unanalysed
            return self.say(f"{counted(len(plan.items), 'run')} done")
        if not outcomes and not plan.of("done"):
            raise InputError("no run could start:\n" + "\n".join(plan.notes))
        lines = list(_told(self.folder, bad))
        lines += [f"{counted(len(missing), 'run')} could not start:", *plan.notes] if missing else []
        lines += [str(unanalysed)] if unanalysed is not None else []
        problem = "\n".join([f"{counted(len(bad), 'run')} failed", *lines] if bad else lines)
        raise (RunsFailedError if outcomes else InputError)(problem, remedy="mend it and repeat the command")

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _told(folder: Path, bad: dict[str, str]) -> Iterator[str]:
    """What went wrong, once for all runs that it befell, such as a cluster that took none of them."""
    alike: dict[str, list[str]] = {}
    for id, message in bad.items():
        alike.setdefault(message, []).append(id)
    for message, ids in alike.items():
        file = folder / "runs" / ids[0] / "error.txt"
        yield "\n".join([*ids, f"  {message}", *([f"  see {file}"] if file.exists() else [])])


def _progress(plan: Plan, marks: Path) -> Progress:
    queued = {"ready": "queued", "partial": "queued", "failed": "queued"}
    items = {item.id: item for item in plan.items}
    states = {id: queued.get(item.state, item.state) for id, item in items.items()}
    workload = Workload(plan)
    known = {id: size for id, item in items.items() if (size := workload.of(item)) is not None}
    sizes = {id: known.get(id, float(item.run.recipe.budgets[-1])) for id, item in items.items()}
    scoring = {id: workload.scoring(items[id]) for id in known}
    return Progress(plan.folder, marks, items, states, sizes, scoring=scoring)


@dataclass
class _Loop:
    """Hands out runs as soon as they can start, until all have ended."""

    sweep: Sweep
    plan: Plan
    lease: Lease
    pool: Pool
    progress: Progress
    view: View
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)  # of GPUs that failed
    futures: "dict[Future[Outcome], Item]" = field(default_factory=dict)

    def run(self) -> dict[str, Outcome]:
        for item in self.plan.of("ready", "partial", "failed"):
            self._submit(item)
        waiting = self.plan.of("waiting")
        while self.futures:
            self.pool.check()
            ended, _ = concurrent.futures.wait(
                self.futures, timeout=REFRESH, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in ended:
                self._end(self.futures.pop(future), future)
            if self.sweep.should_stop() and not self.progress.stopping:
                self.progress.stopping = True
                self.lease.ask_to_stop()
            waiting = self._release(waiting)
            self._tell_of_gpus()
            for line in self.pool.news():
                self.sweep.say(line)
            self.view.refresh()
        return self.outcomes

    def _tell_of_gpus(self) -> None:
        for place, problem in failing_gpus.problems(self.progress.marks).items():
            if place not in self.told:
                self.told.add(place)
                first_line = problem.partition("\n")[0]
                self.sweep.say(f"{place} has failed; others that work get its runs first: {first_line}")

    def _submit(self, item: Item) -> None:
        RunFolder.of(self.plan.folder, item.run).error.unlink(missing_ok=True)  # of a former sweep
        self.progress.states[item.id] = "queued"
        future = self.pool.submit(self.sweep.assignment(item, self.lease, self.progress.marks))
        self.futures[future] = item

    def _end(self, item: Item, future: "Future[Outcome]") -> None:
        error = future.exception()
        if error is None:
            self._note(item, future.result())
        else:
            folder = RunFolder.of(self.plan.folder, item.run)
            self._note(item, failed(folder, RuntimeError(why_not_run(error, folder))))

    def _note(self, item: Item, outcome: Outcome) -> None:
        self.outcomes[item.id] = outcome
        self.progress.states[item.id] = outcome.state
        self.view.ended(item.id, outcome)

    def _release(self, waiting: list[Item]) -> list[Item]:
        """Submit the runs whose weights are there now; give up those whose weights will not come."""
        left = []
        for item in waiting:
            maker = self.outcomes.get(item.after or "")
            if self.progress.stopping:
                self._note(item, Outcome("stopped"))
            elif maker is None:
                left.append(item)
            elif maker.state == "failed":
                self._note(item, Outcome("failed", f"its weights could not be trained: {item.after} failed"))
            elif why := available.weights_problem(item.run.weights, item.run.recipe.model, item.weights_dir):
                self._note(item, Outcome("failed", why))
            else:
                self._submit(replace(item, after=None))
        return left
