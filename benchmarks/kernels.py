"""What XLA makes of a training step on a GPU: python -m benchmarks.kernels

The step is compiled and not run: how many kernels it launches, how many bytes they move, how much arithmetic their
convolutions and products of matrices do, and how long that takes at the roofs of memory and arithmetic. Without a GPU
it is compiled for one that `--target` describes; that takes JAX's CUDA plugin (`pip install "jax[cuda12]"`, gigabytes)
but no driver, whose lack JAX may first report at length. Kernels are then chosen without being tried out, so their
number may differ a little from that on the GPU itself; what cannot be compiled fails here as it would there.
"""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import tyro
from rich.table import Table

from benchmarks.hlo import Kernel, kernels
from benchmarks.machine import this_machine
from jaxseg.command import command
from jaxseg.console import Console
from jaxseg.errors import UsageError

TARGET = Path(__file__).with_name("h100.txtpb")


@dataclass(frozen=True)
class Flags:
    """Options.

    Attributes:
        depth: of the ResNet, layers.
        width: of the ResNet, relative to the published one.
        side: of a crop, pixels.
        batch: crops a step.
        steps: in a dispatch.
        dtype: that is computed in.
        target: description of a GPU that is not there; the GPU at hand where there is one.
        bandwidth: of the memory, bytes a second; what an H100 reaches.
        arithmetic: of products of matrices in `dtype`, FLOP a second; what an H100 reaches in bfloat16.
        launch: least seconds that a kernel takes.
        largest: kernels to list besides.
    """

    depth: int = 50
    width: float = 1.0
    side: int = 256
    batch: int = 64
    steps: int = 10
    dtype: str = "bfloat16"
    target: Path = TARGET
    bandwidth: float = 3.0e12
    arithmetic: float = 8.0e14
    launch: float = 2.5e-6
    largest: int = 0


def compiled_step(flags: Flags) -> str:
    """The optimised program of a dispatch, as text.

    Raises:
        UsageError: neither a GPU nor JAX's CUDA plugin is there.
    """
    if this_machine().gpu:
        import jax

        return _compiled(flags, jax.devices()[:1])
    os.environ["JAX_PLATFORMS"] = "cpu"  # or the plugin looks for a driver
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_autotune_level=0"
    from jax.experimental import topologies

    options = {"target_config": flags.target.read_text(), "topology": "1x1x1"}
    try:
        described = topologies.get_topology_desc("described", "cuda", **options)
    except NotImplementedError as error:
        raise UsageError(
            "JAX's CUDA plugin is not installed", remedy='pip install "jax[cuda12]", or "jax[cuda13]"'
        ) from error
    with mock.patch("jax.default_backend", return_value="gpu"):  # or the code for CPUs would be compiled
        return _compiled(flags, described.devices)


def _compiled(flags: Flags, devices: list) -> str:
    import numpy as np
    from jax.sharding import Mesh

    from benchmarks.ours import IMAGES, recipe_of
    from jaxseg.training.mesh import DATA
    from jaxseg.training.setup import arguments_like
    from jaxseg.training.step import make_steps

    mesh, recipe = Mesh(np.array(devices), (DATA,)), recipe_of(vars(flags))
    stack = IMAGES, 2 * flags.side, 2 * flags.side
    train = make_steps(recipe.model, recipe.crop, recipe.compute_dtype, mesh).train
    arguments = arguments_like(recipe, stack, mesh, resident=True, count=flags.steps)
    return train.jitted.lower(*arguments).compile().as_text()


def report(found: list[Kernel], flags: Flags) -> Table:
    """A line for each kind of kernel, those that move most first."""
    groups: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in found:
        groups[kernel.kind].append(kernel)
    table = Table(title=f"one step, batch {flags.batch}")
    for heading in ("kind", "kernels", "GB", "TFLOP", "ms, memory", "ms, roofs", "ms, launches"):
        table.add_column(heading, no_wrap=heading == "kind")
    for kind, group in sorted(groups.items(), key=lambda item: -_bytes(item[1])):
        table.add_row(kind, *_figures(group, flags))
    table.add_section()
    table.add_row("together", *_figures(found, flags))
    return table


def _figures(group: list[Kernel], flags: Flags) -> tuple[str, ...]:
    least = [max(kernel.bytes / flags.bandwidth, kernel.flop / flags.arithmetic) for kernel in group]
    seconds = (
        _bytes(group) / flags.bandwidth,
        sum(least),
        sum(max(flags.launch, each) for each in least),
    )
    flop = sum(kernel.flop for kernel in group)
    return (
        f"{len(group):,}",
        f"{_bytes(group) / 1e9:.2f}",
        f"{flop / 1e12:.2f}",
        *(f"{1000 * each:.2f}" for each in seconds),
    )


def _bytes(group: list[Kernel]) -> int:
    return sum(kernel.bytes for kernel in group)


def main() -> None:
    flags = tyro.cli(Flags, description=__doc__)
    found, console = kernels(compiled_step(flags)), Console()
    console.print(report(found, flags))
    for kernel in sorted(found, key=lambda kernel: -kernel.bytes)[: flags.largest]:
        console.print(
            f"{kernel.bytes / 1e6:9.1f} MB  {kernel.kind}  {kernel.name}  {kernel.made_from}",
            highlight=False,
            soft_wrap=True,
        )


if __name__ == "__main__":
    command(main)
