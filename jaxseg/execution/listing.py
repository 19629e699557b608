"""What `--dry-run` and `--status` print: runs and their states, what is missing, disk and time. Writes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from jaxseg.compute.host import usable_cores
from jaxseg.execution.estimate import disk_needed, parameters
from jaxseg.execution.failing_gpus import AT_WORK
from jaxseg.execution.forecast import Time, time_needed
from jaxseg.execution.lease import is_held
from jaxseg.execution.plan import STATES, Item, Plan
from jaxseg.execution.pool import marks_folder
from jaxseg.execution.progress import duration, last_entry
from jaxseg.execution.resources import Resources
from jaxseg.run_folder import RunFolder
from jaxseg.wording import counted

BESIDES = "of training, validation and scoring: start, compilation and report come on top"


def print_plan(plan: Plan, resources: Resources, console: Console) -> None:
    """All runs, the line `N runs`, what is missing and how to get it, disk and time."""
    _print_runs(plan, console)
    console.print(counted(len(plan.items), "run"), highlight=False)
    makers = sum(1 for item in plan.items if item.keeps)
    if makers:
        _say(console, f"{makers} of them train initial weights for the others")
    _say(console, _counts(plan))
    for note in plan.notes:
        _say(console, f"\nmissing: {note}")
    _say(console, "")
    _print_needs(plan, resources, console)


def print_status(plan: Plan, console: Console) -> None:
    """All runs and how far they are, also those that a sweep is at now."""
    running = _running(plan.folder)
    at_work = {item.id for item in plan.startable} & running  # not one that has ended, whose worker has left its mark
    items = (replace(item, state="running") if item.id in at_work else item for item in plan.items)
    plan = replace(plan, items=tuple(items))
    _print_runs(plan, console)
    _say(console, f"{counted(len(plan.items), 'run')}: {_counts(plan)}")


def _running(study: Path) -> set[str]:
    """Ids; what a sweep that was killed has left behind tells of none."""
    return {mark.name for mark in marks_folder(study).glob(AT_WORK)} if is_held(study) else set()


def _print_runs(plan: Plan, console: Console) -> None:
    width = max(len(item.id) for item in plan.items)
    for item in plan.items:
        _say(console, f"{item.id:<{width}}  {item.state:<8} {_note(plan, item)}".rstrip())


def _note(plan: Plan, item: Item) -> str:
    if item.state in ("partial", "running"):
        epoch = last_entry(RunFolder.of(plan.folder, item.run).log).get("epoch", 0)
        return f"epoch {epoch:.0f} of {item.run.recipe.budgets[-1]}"
    return item.why.partition("\n")[0]


def _counts(plan: Plan) -> str:
    return ", ".join(f"{len(plan.of(state))} {state}" for state in STATES if plan.of(state))


def _print_needs(plan: Plan, resources: Resources, console: Console) -> None:
    model = plan.study.recipe.model
    _say(console, f"model:  ResNet{model.depth} U-Net, {parameters(model) / 1e6:.1f} M parameters")
    _say(console, f"disk:   {disk_needed(plan, resources.at_once) / 1e9:.1f} GB for the runs still to come")
    _say(console, f"runs:   {_at_once(resources)}")
    for label, line in zip(["time:", *[""] * 3], _time(plan, resources), strict=False):
        _say(console, f"{label:<7} {line}")


def _time(plan: Plan, resources: Resources) -> Iterator[str]:
    if not plan.to_come:
        yield "none, all runs are done"
    elif (time := time_needed(plan, resources)) is None:
        yield "unknown until the data are prepared"
    else:
        yield from _times(time, resources)
        yield BESIDES


def _at_once(resources: Resources) -> str:
    runs = f"{resources.at_once} at once" if resources.at_once > 1 else "one at a time"
    if resources.gpus:
        return f"{runs} on {_gpus(resources)}"
    if resources.nodes is not None:
        return f"{runs} on {_nodes(resources.nodes)}"
    cores = usable_cores()
    if resources.workers == 1 or resources.workers > cores:
        return f"{runs}, on {cores} cores"
    each = cores // resources.workers
    return f"{runs}, {'a core' if each == 1 else f'{each} cores'} each"


def _gpus(resources: Resources) -> str:
    """Such as "one GPU", or "8 GPUs of 2 nodes"."""
    gpus = f"{resources.all_gpus} GPUs" if resources.all_gpus > 1 else "one GPU"
    return gpus if resources.nodes is None else f"{gpus} of {_nodes(resources.nodes)}"


def _nodes(nodes: int) -> str:
    return f"{nodes} nodes" if nodes > 1 else "one node"


def _times(time: Time, resources: Resources) -> Iterator[str]:
    """The measured time, or else what it may be on a GPU and on this host's CPU; with what it costs."""
    gpus, cores = resources.all_gpus, usable_cores()
    if resources.nodes is not None and not gpus:
        seconds, basis = (time.cpu, "estimate") if time.measured is None else (time.measured, time.source)
        yield f"{duration(seconds)}, if nodes have CPUs like this host's ({basis})"
        return
    if time.measured is not None:
        cost = _hours(time.measured, gpus, "GPU") if gpus else _hours(time.measured, cores, "core")
        yield f"{duration(time.measured)}, {cost} ({time.source})"
    if time.measured is None or not gpus:
        cost = _hours(time.gpu, max(1, gpus), "GPU")
        place = _gpus(resources) if gpus else "one GPU"
        yield f"{duration(time.gpu)} on {place}, {cost} (estimate for an H100, not measured here)"
    if resources.nodes is None and (time.measured is None or gpus):
        cost = _hours(time.cpu, cores, "core")
        yield f"{duration(time.cpu)} on this host's {cores} CPU cores, {cost} (estimate, not measured here)"


def _hours(seconds: float, devices: int, name: str) -> str:
    hours = seconds * devices / 3600
    number = "less than 0.1" if hours < 0.1 else f"{hours:,.1f}" if hours < 100 else f"{hours:,.0f}"
    return f"{number} {name} hours"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
