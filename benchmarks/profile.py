"""Where the time of a training step goes: python -m benchmarks.profile

JAX's profiler times each operation of the compiled step. Beside it stands the least time that its arithmetic and its
bytes need at the roofs of this device, which are measured first: a large product of matrices, and adding to a large
array. On CPUs all of it is bound to one core, where the operations' times add up; on GPUs without CUDA graphs, whose
kernels the profiler does not tell apart. Writes a table, a picture, and JSON with the largest operations.
"""

import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.table import Table

from benchmarks.machine import keep_to_one_gpu, this_machine
from benchmarks.operations import LOOPS, ONCE, Operation, draw, grouped, operations, report, total
from benchmarks.record import Case, Options, record
from benchmarks.turns import Contender, Turn, opened
from jaxseg.console import Console
from jaxseg.execution.one_graph import ONE_GRAPH

MATRIX = {True: 8192, False: 2048}  # rows of the matrices, on a GPU or on a core
NO_GRAPHS = "--xla_gpu_enable_command_buffer="
STREAMS = ("Stream", "CUPTI")  # names of the lines of a GPU's streams; of one to which CUPTI counts its own work too
ARRAY = {True: 2**29, False: 2**26}  # float32 numbers


@dataclass(frozen=True)
class Flags(Options):
    """Options.

    Attributes:
        depth: of the ResNet, layers.
        width: of the ResNet, relative to the published one.
        side: of a crop, pixels.
        batch: crops a step; 64 on GPUs, 4 on CPUs where 0.
        dtype: of activations; bfloat16 on GPUs, float32 on CPUs where none is given.
        turns: steps (on GPUs dispatches of ten) that are timed.
        largest: operations to keep and to list.
    """

    depth: int = 50
    width: float = 1.0
    side: int = 256
    batch: int = 0
    dtype: Literal["", "float32", "bfloat16"] = ""
    turns: int = 5
    largest: int = 20


def profiled(setting: dict[str, Any]) -> Turn:
    """Seconds of the timed steps; roofs and operations go to `setting["file"]`."""
    import jax

    from benchmarks import ours

    gpu = jax.default_backend() == "gpu"
    turn, program = ours.training(setting)

    def timed() -> float:
        roofs = measured_roofs(setting["dtype"], MATRIX[gpu], ARRAY[gpu])
        seconds = [turn()[0] for _ in range(setting["turns"])]
        with tempfile.TemporaryDirectory() as folder:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0
            with jax.profiler.trace(folder, profiler_options=options):
                for _ in range(setting["turns"]):
                    turn()
            steps = setting["turns"] * setting["steps"]
            found = operations(program(), durations(Path(folder)), steps, *roofs, elsewhere=ONCE if gpu else LOOPS)
        check_traced(found, statistics.median(seconds) / setting["steps"])
        result = {"seconds": seconds, "roofs": roofs, "operations": [asdict(each) for each in found]}
        Path(setting["file"]).write_text(json.dumps(result))
        return sum(seconds)

    return timed


def check_traced(found: list[Operation], step: float) -> None:
    """`RuntimeError` where the profiler has seen less than a tenth of a step."""
    seen = total(found, "seconds")
    if seen < step / 10:
        raise RuntimeError(
            f"the profiler saw {1000 * seen:.1f} ms of operations in a step of {1000 * step:.1f} ms; "
            "on a GPU it needs CUPTI and the right to count (see NVIDIA's ERR_NVGPUCTRPERM)"
        )


def durations(folder: Path) -> dict[str, list[float]]:
    """Seconds of every operation in a trace, in order of time, by its name, or a kernel's where no more is told."""
    found: dict[str, list[float]] = defaultdict(list)
    for _, name, seconds in sorted(_events(folder)):
        found[name].append(seconds)
    return found


def _events(folder: Path) -> Iterator[tuple[float, str, float]]:
    """When it began, which operation it belongs to, and its seconds."""
    import jax

    for file in folder.rglob("*.xplane.pb"):
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
        on_gpus = [plane for plane in planes if plane.name.startswith("/device:GPU")]
        for plane in on_gpus or planes:
            for line in plane.lines:
                if on_gpus and not line.name.startswith(STREAMS):
                    continue  # which sums up what the streams' lines say
                for event in line.events:
                    name = dict(event.stats).get("hlo_op")
                    if on_gpus or name:
                        yield event.start_ns, str(name or event.name), event.duration_ns / 1e9


def measured_roofs(dtype: str, rows: int, numbers: int) -> tuple[float, float]:
    """FLOP a second of a product of matrices, and bytes a second of adding to an array, at best."""
    import jax
    import jax.numpy as jnp

    matrix = jax.random.normal(jax.random.key(0), (rows, rows), dtype)  # products of ones draw less power
    product = jax.jit(lambda matrix: matrix @ matrix)
    added = jax.jit(lambda array: array + 1, donate_argnums=0)
    array = jnp.ones(numbers, jnp.float32)

    def add() -> Any:
        nonlocal array
        array = added(array)
        return array

    return 2 * rows**3 / _least(lambda: product(matrix)), 2 * array.nbytes / _least(add)


def _least(work: Callable[[], Any], times: int = 6) -> float:
    """Least seconds of one call; on GPUs of ten in a row, so that handing over and waiting count little."""
    import jax

    work().block_until_ready()
    together, seconds = 1 if jax.default_backend() == "cpu" else 10, []
    for _ in range(times):
        started = time.perf_counter()
        for _ in range(together):
            last = work()
        last.block_until_ready()
        seconds.append((time.perf_counter() - started) / together)
    return min(seconds)


def measure(flags: Flags) -> Path:
    here = this_machine()
    keep_to_one_gpu()
    steps, batch, dtype = (10, 64, "bfloat16") if here.gpu else (1, 4, "float32")
    batch, dtype = flags.batch or batch, flags.dtype or dtype
    setting: dict[str, Any] = {"depth": flags.depth, "width": flags.width, "side": flags.side, "batch": batch}
    setting |= {"steps": steps, "warm": 2 * steps, "turns": flags.turns, "dtype": dtype}
    name, where = f"jaxseg {dtype}", here.device if here.gpu else "one core"
    in_pieces = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {NO_GRAPHS}", ONE_GRAPH: "0"}
    environment = in_pieces if here.gpu else {}
    work = Contender(name, "benchmarks.profile:profiled", setting, not here.gpu, environment=environment)
    seconds, roofs, found = _profile(work)
    case = Case(f"batch {batch}, {where}", batch * steps, "images", {name: seconds})
    kept: dict[str, Any] = {
        "one_graph": False,  # whatever training does on this GPU
        "roofs": {"flop_per_second": roofs[0], "bytes_per_second": roofs[1]},
        "groups": {
            name: {what: total(members, what) for what in ("seconds", "least", "flop", "bytes")}
            for name, members in grouped(found)
        },
        "largest": [asdict(each) for each in found[: flags.largest]],
    }
    file = record("profile", flags, [case], **kept)
    step = statistics.median(seconds) / steps
    title = f"ResNet{flags.depth} U-Net, batch {batch} of {flags.side} x {flags.side}, {dtype}, {where}"
    draw(found, step, title, file.with_suffix(".png"))
    _print(found[: flags.largest], report(found, step, roofs))
    return file


def _profile(contender: Contender) -> tuple[list[float], tuple[float, float], list[Operation]]:
    """Seconds of its turns, the roofs, and its operations."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "profile.json"
        with opened(replace(contender, setting=contender.setting | {"file": str(file)})) as turn:
            turn()
        result = json.loads(file.read_text())
    return result["seconds"], tuple(result["roofs"]), [Operation(**each) for each in result["operations"]]


def _print(largest: list[Operation], groups: Table) -> None:
    console = Console()
    console.print(groups)
    for each in largest:
        times = f"{1000 * each.seconds:8.2f} ms, {1000 * each.least:7.2f} at the roofs"
        console.print(f"{times}  {each.group}  {each.name}  {each.made_from}", highlight=False, soft_wrap=True)


def main() -> None:
    measure(tyro.cli(Flags, description=__doc__))


if __name__ == "__main__":
    main()
