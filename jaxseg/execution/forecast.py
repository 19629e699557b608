"""How long a study will take: its work, at speeds that were measured or else are estimated, shared out over workers."""

import functools
import heapq
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jaxseg.compute.host import usable_cores
from jaxseg.config import Recipe
from jaxseg.execution import speeds
from jaxseg.execution.estimate import seconds_per_crop
from jaxseg.execution.plan import Item, Plan
from jaxseg.execution.resources import Resources
from jaxseg.execution.speeds import Speed
from jaxseg.execution.workload import Workload
from jaxseg.run_folder import RunFolder


@dataclass(frozen=True)
class Time:
    """Seconds until the runs still to come are done.

    Attributes:
        measured: on what the study will run on, from speeds measured there, maybe of other runs; None without any.
        source: what `measured` is based on; of several sources the one that tells least.
        gpu, cpu: estimates, on one GPU or the given ones, and on this host's cores.
    """

    measured: float | None
    source: str
    gpu: float
    cpu: float


def time_needed(plan: Plan, resources: Resources) -> Time | None:
    """None where the number of images is not known."""
    workload = Workload(plan)
    order = [*plan.of("ready", "partial", "failed"), *plan.of("waiting", "missing")]  # as a sweep hands them out
    work = {item.id: crops for item in order if (crops := workload.left(item)) is not None}
    if len(work) < len(order):
        return None
    gpus, cores = max(1, resources.all_gpus), usable_cores()
    on_cores = Resources(1) if resources.gpus else resources
    at_once = min(on_cores.workers, cores) * (on_cores.nodes or 1)
    share = max(1, cores // on_cores.workers)

    def on_gpu(item: Item) -> float:
        return work[item.id] * seconds_per_crop(item.run.recipe, True, 1)

    def on_cpu(item: Item) -> float:
        return work[item.id] * seconds_per_crop(item.run.recipe, False, share)

    gpu, cpu = span(order, on_gpu, gpus), span(order, on_cpu, at_once)
    measured = _Measured(_finished(plan, resources, share), speeds.known(bool(resources.gpus)), share)
    if not order or not measured.any:
        return Time(None, "", gpu, cpu)
    estimated, places = (on_gpu, gpus) if resources.gpus else (on_cpu, at_once)
    slower = functools.cache(measured.slower)  # many runs have one recipe
    seconds = span(order, lambda item: estimated(item) * slower(item.run.recipe), places)
    return Time(seconds, measured.source(item.run.recipe for item in order), gpu, cpu)


def span(order: Iterable[Item], seconds: Callable[[Item], float], workers: int) -> float:
    """When the last run ends, where each goes to the worker that is free first, once its weights are there."""
    free = [0.0] * workers
    ends: dict[str, float] = {}
    for item in order:
        start = max(heapq.heappop(free), ends.get(item.after or "", 0.0))
        ends[item.id] = start + seconds(item)
        heapq.heappush(free, ends[item.id])
    return max(ends.values(), default=0.0)


@dataclass(frozen=True)
class _Measured:
    """Speeds on devices of the kind that the study will run on: of its finished runs, and of others."""

    finished: list[Speed]
    others: list[Speed]
    cores: int  # of a run to come

    @property
    def any(self) -> bool:
        return bool(self.finished or self.others)

    def slower(self, recipe: Recipe) -> float:
        """How many times as long as estimated runs of a recipe take, the median over the measured runs."""
        _, found = self._nearest(recipe)
        return statistics.median(
            1 / each.images_per_second / seconds_per_crop(each, each.gpu, each.cores) for each in found
        )

    def source(self, recipes: Iterable[Recipe]) -> str:
        rank, found = max((self._nearest(recipe) for recipe in dict.fromkeys(recipes)), key=lambda nearest: nearest[0])
        places = ", ".join(sorted({each.device if each.gpu else "this CPU" for each in found}))
        if rank == 2:
            return f"estimate from runs of other kinds on {places}"
        speeds = [speed for each in found for speed in each.runs]
        each_had = dict.fromkeys(f"{speed:.3g}" for speed in (min(speeds), max(speeds)))
        which = ("finished runs of this study", f"runs of this kind on {places}")[rank]
        return f"measured: {which}, {' to '.join(each_had)} images/s each"

    def _nearest(self, recipe: Recipe) -> tuple[int, list[Speed]]:
        """Those that tell most of a recipe, and the lower the rank the more."""
        kinds = [[each for each in speeds if each.is_of(recipe)] for speeds in (self.finished, self.others)]
        rank, found = next(ranked for ranked in enumerate((*kinds, self.finished + self.others)) if ranked[1])
        return rank, [each for each in found if each.cores == self.cores] or found


def _finished(plan: Plan, resources: Resources, cores: int) -> list[Speed]:
    """Those of the study's finished runs, as if each had had a whole GPU; they shared it as those to come will.

    Args:
        cores: of a run that does not tell how many it had.
    """
    found = []
    for item in plan.of("done"):
        done = RunFolder.of(plan.folder, item.run).read_done()
        alone = float(done["images_per_second"]) * resources.runs_per_gpu
        found.append(Speed.of(item.run.recipe, done.get("device", "cpu"), done.get("cores", cores), alone))
    return [each for each in found if each.gpu == bool(resources.gpus) and each.images_per_second > 0]
