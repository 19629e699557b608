"""Pretrain an encoder on images without annotations:

python launch/pretrain.py --images TILES --out WEIGHTS_DIR --name my_tissue

Barlow Twins on your own images; the result is WEIGHTS_DIR/my_tissue, which `train.py --weights my_tissue` starts from.
Repeating the command resumes one that was stopped and leaves a finished one alone. docs/pretraining.md says what to
expect.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxseg.command import StopRequest, command
from jaxseg.config import ModelConfig
from jaxseg.execution.failing_gpus import told
from jaxseg.execution.start import prepare_process
from jaxseg.pretraining.config import PretrainConfig


@dataclass(frozen=True)
class Flags:
    """Options of the command.

    Attributes:
        images: folder of PNG, TIFF, JPEG, BMP or WebP files of any sizes; searched with its subfolders.
        out: weights directory; weights to start from are read there, and the result is written there.
        name: of the resulting weights.
        pattern: glob below the folder that chooses among its image files.
        config: what decides the result.
        devices: accelerators to share each batch over; all of them where not given.
        stack: where the images lie during training.
        checkpoint_seconds: time between two checkpoints to resume from.
    """

    images: Path
    out: Path
    name: str
    config: Annotated[PretrainConfig, tyro.conf.arg(name="")]
    pattern: str = "**/*"
    devices: int | None = None
    stack: Literal["auto", "device", "host"] = "auto"
    checkpoint_seconds: float = 300.0


def main() -> None:
    should_stop = StopRequest()  # before libraries are imported, which takes seconds
    flags = tyro.cli(Flags, description=__doc__)
    prepare_process()
    from jaxseg.pretraining.loop import in_words
    from jaxseg.pretraining.run import Job, run_pretraining
    from jaxseg.training.progress import live_view
    from jaxseg.training.run import TrainOptions

    job = Job(flags.images.absolute(), flags.out.absolute(), flags.name, flags.config, flags.pattern)
    with told(), live_view(job.name, in_words) as on_step:
        options = TrainOptions(flags.devices, flags.stack, flags.checkpoint_seconds, on_step)
        folder = run_pretraining(job, should_stop, options)
    use = f"python launch/train.py --weights {job.name} --weights-dir {flags.out} --dataset NAME"
    print(f"{folder}\nuse it: {use}{_of_model(flags.config)}")


def _of_model(config: PretrainConfig) -> str:
    """Options of a training whose model these weights fit, where they do not fit the usual one."""
    usual = config.model == ModelConfig()
    return "" if usual else f" --recipe.model.depth {config.depth} --recipe.model.width {config.width}"


if __name__ == "__main__":
    command(main)
