"""From a folder of images to initial weights: `<out>/<name>/`, by way of `<out>/<name>.pretraining/`."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from jaxseg.config import RANDOM, check_new_weights
from jaxseg.errors import InputError, UsageError
from jaxseg.files import read_json, write_json
from jaxseg.input.feed import make_feed
from jaxseg.input.plan import steps_of
from jaxseg.input.statistics import Statistics
from jaxseg.input.transfer import to_devices
from jaxseg.models import encoder_weights, golden
from jaxseg.models.encoder_weights import EncoderWeights
from jaxseg.models.receipt import Receipt
from jaxseg.pretraining.config import PretrainConfig
from jaxseg.pretraining.images import Survey, survey
from jaxseg.pretraining.loop import Collaborators, pretrain
from jaxseg.pretraining.loss import TwinsLoss
from jaxseg.pretraining.network import initial_values
from jaxseg.pretraining.step import make_twins_steps
from jaxseg.pretraining.views import pairs
from jaxseg.run_folder import RunFolder
from jaxseg.storage.arrays import shapes
from jaxseg.training.beside import beside
from jaxseg.training.checkpoints import Checkpoints
from jaxseg.training.journal import Journal
from jaxseg.training.mesh import make_mesh, replicated, sharded
from jaxseg.training.run import TrainOptions
from jaxseg.training.state import TrainState, fresh

Colour = tuple[float, float, float]

LEAST_GAP = 10  # steps between two lines of the log, where an epoch is shorter
CITATION = (
    "Zbontar, Jing, Misra, LeCun, Deny: Barlow Twins: Self-Supervised Learning via Redundancy Reduction. ICML 2021"
)


@dataclass(frozen=True)
class Job:
    """What is asked for.

    Attributes:
        images: folder, searched with its subfolders; pattern: glob that chooses among its files.
        weights_dir: where weights to start from lie and where the result goes.
        name: of the resulting weights.
    """

    images: Path
    weights_dir: Path
    name: str
    config: PretrainConfig
    pattern: str = "**/*"

    def __post_init__(self) -> None:
        check_new_weights(self.name)
        if self.name == self.config.weights:
            raise UsageError("the result needs a name of its own", found=self.name, remedy="choose another --name")

    @property
    def folder(self) -> RunFolder:
        """Log, TensorBoard, checkpoints; no weights are called so, because names hold no dot."""
        return RunFolder(self.weights_dir / f"{self.name}.pretraining")

    @property
    def result(self) -> Path:
        return self.weights_dir / self.name


def run_pretraining(
    job: Job,
    should_stop: Callable[[], bool] = lambda: False,
    options: TrainOptions = TrainOptions(),  # noqa: B008 - frozen
) -> Path:
    """Pretrain, or resume, or find that it is done; returns the folder of the weights.

    Raises:
        InputError: images or weights to start from are missing or bad, or have changed since it began.
        UsageError: the name is taken, or another process is at it.
        StoppedError: `should_stop` turned true; a checkpoint was saved.
    """
    images = survey(job.images, job.pattern, job.config.crop // 2)
    start = _start(job)
    about = _about(job, images, start)
    if job.result.exists() and not job.folder.config_file.exists():
        raise UsageError("weights of that name are there already", file=job.result, remedy="choose another --name")
    with job.folder.held():
        _remember(job, about)
        if not job.result.exists():
            state = _trained(job, images, start, should_stop, options)
            _result(job, images, start, state).write(job.weights_dir)
        Checkpoints(job.folder.checkpoints).finish()
    return job.result


def _start(job: Job) -> EncoderWeights | None:
    config = job.config
    return None if config.weights == RANDOM else encoder_weights.read(job.weights_dir, config.weights, config.model)


def _about(job: Job, images: Survey, start: EncoderWeights | None) -> dict[str, Any]:
    """What decides the result, flat, so that a message can name what differs."""
    return job.config.to_json() | {
        "images": len(images.files),
        "images_sha256": images.sha256,
        "weights_sha256": None if start is None else start.receipt.arrays_sha256,
        "mean": None if start is None else list(start.receipt.mean),
        "std": None if start is None else list(start.receipt.std),
    }


def _remember(job: Job, value: dict[str, Any]) -> None:
    """Write a value; where anything of a pretraining is kept, it must be the same.

    One that ended before, such as for want of memory, may begin anew with what its message advised. Of a finished one
    only what its record tells is compared: earlier records told less.
    """
    file, finished = job.folder.config_file, job.result.exists()
    kept = finished or any(job.folder.checkpoints.glob("*"))
    remedy = f"choose another --name, or delete {file.parent} and the weights beside it, and begin anew"
    if not (kept and file.exists()):
        write_json(file, value)
        return
    former = read_json(file, remedy=remedy)
    changed = [key for key in value if former.get(key) != value[key] and (key in former or not finished)]
    if changed:
        kind = InputError if any(key.endswith("sha256") for key in changed) else UsageError
        raise kind(
            "is the record of another pretraining",
            file=file,
            found=", ".join(f"{key} {former.get(key)}" for key in changed),
            expected=", ".join(f"{key} {value[key]}" for key in changed) + ", as asked for",
            remedy=remedy,
        )


def _trained(
    job: Job,
    images: Survey,
    start: EncoderWeights | None,
    should_stop: Callable[[], bool],
    options: TrainOptions,
) -> TrainState:
    config, number = job.config, len(images.files)
    if number < config.batch:
        options.say(
            f"note: a batch of {config.batch} shows some of the {number} images more than once, so that features are "
            "compared over few different ones; give more images, or a smaller --batch"
        )
    mesh = make_mesh(config.batch, options.devices)
    total = steps_of(config.epochs, number, config.batch)
    mean, std, _ = _statistics(images, start)
    statistics = Statistics(np.array(mean, np.float32), np.array(std, np.float32))
    compiled = dataclasses.replace(config, weights=RANDOM)  # the functions are the same whatever it starts from
    whole = replicated(mesh)
    feed = make_feed(images.stack(), config.crop, whole, sharded(mesh), options.stack)
    with contextlib.ExitStack() as stack:
        checkpoints = Checkpoints(job.folder.checkpoints, stack.enter_context(beside("checkpoint")))
        state = _begin(checkpoints, config, start, whole, options)
        journal = stack.enter_context(Journal(job.folder, int(state.step)))
        return pretrain(
            to_devices(state, whole),
            Collaborators(
                views=functools.partial(pairs, config, images.sizes),
                feed=feed,
                steps=make_twins_steps(compiled, mesh, number / config.batch, total),
                statistics=to_devices(statistics, whole),
                total=total,
                interval=max(steps_of(1, number, config.batch), LEAST_GAP),
                images=number,
                batch=config.batch,
                checkpoints=checkpoints,
                journal=journal,
                should_stop=should_stop,
                on_step=options.on_step,
                checkpoint_seconds=options.checkpoint_seconds,
            ),
        )


def _statistics(images: Survey, start: EncoderWeights | None) -> tuple[Colour, Colour, str]:
    """Mean and standard deviation that views are normalised with, and where they are from.

    Weights to start from go on to see what they were made for: other statistics would shift and stretch their input.
    """
    if start is None:
        return images.mean, images.std, "measured on these images"
    receipt = start.receipt
    return receipt.mean, receipt.std, f"those of {receipt.name}, from which it started: {receipt.statistics_from}"


def _begin(
    checkpoints: Checkpoints,
    config: PretrainConfig,
    start: EncoderWeights | None,
    whole: NamedSharding,
    options: TrainOptions,
) -> TrainState:
    first = fresh(*initial_values(config, start), whole)
    # nothing is selected here, the last is taken; the log wants the mean of each part of the loss
    sums = np.zeros(len(TwinsLoss._fields), np.float32)
    first = dataclasses.replace(first, best_params={}, best_stats={}, loss_sum=sums)  # type: ignore[arg-type]
    return checkpoints.restore_latest(first, options.say) or first


def _result(job: Job, images: Survey, start: EncoderWeights | None, state: TrainState) -> EncoderWeights:
    params = jax.device_get(state.params).tree()["encoder"]
    stats = jax.device_get(state.stats).tree()["encoder"]
    licence = "that of the images"
    if start is not None:
        licence += f", and of the weights it started from ({start.receipt.name}: {start.receipt.licence})"
    config = job.config
    mean, std, statistics_from = _statistics(images, start)
    receipt = Receipt(
        name=job.name,
        # reports show it and are sent, so without the folders above, which may name projects or patients
        source=f"Barlow Twins on {len(images.files)} images of {images.folder.name or images.folder}",
        file=str(images.folder),
        sha256=images.sha256,
        bytes=images.bytes,
        layout="jaxseg pretraining",
        depth=config.depth,
        width=config.width,
        mean=mean,
        std=std,
        statistics_from=statistics_from,
        licence=licence,
        citation=CITATION,
        address="https://arxiv.org/abs/2103.03230",
        arrays_sha256="",
        filled=len(shapes({"params": params, "stats": stats})),
        golden=golden.activations(config.depth, config.width, {"params": params, "stats": stats}),
        remarks=(
            f"Trained for {int(state.step)} steps of {config.batch} pairs of views, from {config.weights} weights; "
            f"settings and log are in {job.folder.path.name}. sha256 is that of the list of the files' SHA-256."
        ),
    )
    return EncoderWeights(params, stats, receipt)
