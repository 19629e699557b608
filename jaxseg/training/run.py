"""Trains one run in its folder, from the first step or from where it was left."""

import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxseg import datasets
from jaxseg.config import RANDOM, ModelConfig, RunConfig
from jaxseg.datasets.classes import check_classes
from jaxseg.datasets.loading import Outline
from jaxseg.errors import InputError, UsageError
from jaxseg.files import read_json, write_json
from jaxseg.input.feed import Feed, Place, make_feed
from jaxseg.input.plan import CropPlan
from jaxseg.input.render import pack
from jaxseg.input.statistics import IMAGENET_MEAN, IMAGENET_STD, statistics_of
from jaxseg.input.transfer import to_devices
from jaxseg.models import encoder_weights
from jaxseg.models.encoder_weights import EncoderWeights
from jaxseg.models.initial import initial
from jaxseg.run_folder import RunFolder, budget_name
from jaxseg.training.beside import beside
from jaxseg.training.checkpoints import Checkpoints, Models, Unsaved
from jaxseg.training.journal import Journal, Silence
from jaxseg.training.loop import Collaborators, train
from jaxseg.training.mesh import replicated, sharded
from jaxseg.training.processes import agreed, differing, from_first, leads
from jaxseg.training.progress import OnStep
from jaxseg.training.schedule import Schedule, make_schedule
from jaxseg.training.setup import Setup, make_setup
from jaxseg.training.state import TrainState
from jaxseg.training.validation import make_grid

NEEDED_LATER = ("grain", "jaxseg.storage.orbax_io")  # not before the first step, and imported while XLA compiles it


@dataclass(frozen=True)
class TrainOptions:
    """How a run is carried out; nothing here changes its result.

    Attributes:
        devices: of this process to share a batch over; None takes all.
        stack: where the images lie during training.
        checkpoint_seconds: time between two checkpoints to resume from.
        on_step: told (step, steps in all, line of the log or None) after each dispatch.
        say: told of what the user should know, such as a damaged checkpoint.
        dispatch: steps handed to the devices at once; None takes what suits them. Crops cut on the host go one by one.
    """

    devices: int | None = None
    stack: Place = "auto"
    checkpoint_seconds: float = 300.0
    on_step: OnStep = lambda step, total, line: None
    say: Callable[[str], None] = print
    dispatch: int | None = None


@contextlib.contextmanager
def training(
    folder: RunFolder,
    run: RunConfig,
    data_dir: Path,
    weights_dir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    options: TrainOptions = TrainOptions(),
) -> Iterator[Models]:
    """Train `run` in `folder` to its end; the caller holds the folder's lock.

    The block begins after the last step, while the last checkpoint may still be written, and its end waits for that.
    Yields the models of the epoch budgets that ended in this process.
    Where several processes have joined, each calls this; the first one alone reads and writes the folder.

    Raises:
        InputError: data or weights are missing, bad, or not those that the run began with; a full disk; a run to go on
            with has lost the model of an epoch budget.
        UsageError: the model's classes are not as many as the dataset's.
        StoppedError: `should_stop` turned true; a checkpoint was saved.
    """
    with beside("checkpoint") as start:
        checkpoints = (Checkpoints if leads() else Unsaved)(folder.checkpoints, start)
        _train(folder, run, data_dir, weights_dir, should_stop, options, checkpoints)
        yield checkpoints.best


def _train(
    folder: RunFolder,
    run: RunConfig,
    data_dir: Path,
    weights_dir: Path,
    should_stop: Callable[[], bool],
    options: TrainOptions,
    checkpoints: Checkpoints,
) -> None:
    if leads():
        folder.create(run)
    given = _read(folder, run, data_dir, weights_dir)
    setup, schedule = _settled(run, given, options)
    recipe, first = run.recipe, next(iter(schedule.dispatches(0, setup.dispatch)))
    with beside("compile") as start:
        start(lambda: setup.prepare(first))
        feed = _feed(run.dataset, data_dir, recipe.crop, setup.mesh, options.stack)
        state = _begin(checkpoints, run, given.encoder, setup, options.say)
        step = int(jax.device_get(state.step))
        checkpoints.check_budgets(budget_name(budget, recipe.budgets[-1]) for budget in schedule.ended(step))
        for library in NEEDED_LATER:
            importlib.import_module(library)
    with Journal(folder, step) if leads() else Silence() as journal:
        train(
            state,
            Collaborators(
                setup=setup,
                feed=feed,
                grid=make_grid(given.numbers("validation"), given.images.sizes, recipe.crop, recipe.batch),
                schedule=schedule,
                checkpoints=checkpoints,
                journal=journal,
                should_stop=agreed(should_stop, setup.mesh),
                on_step=options.on_step,
                checkpoint_seconds=options.checkpoint_seconds,
            ),
        )


@dataclass(frozen=True)
class _Given:
    """What a run is given.

    Attributes:
        images: the training set, nothing of it decoded.
        split: content of split.json; weights: of weights.json.
        encoder: converted weights; None for random ones.
    """

    images: Outline
    split: dict[str, Any]
    weights: dict[str, Any]
    encoder: EncoderWeights | None

    def numbers(self, part: str) -> np.ndarray:
        """Which of the images are in a part of the split, "train" or "validation"."""
        numbers = {image: number for number, image in enumerate(self.images.ids)}
        return np.array([numbers[image] for image in self.split[part]])


def _read(folder: RunFolder, run: RunConfig, data_dir: Path, weights_dir: Path) -> _Given:
    """Read and check data and weights, and keep in the folder which they are."""
    dataset = datasets.open_once(run.dataset, data_dir)
    check_classes(run.dataset, dataset.classes, run.recipe.model.classes)
    split = _split(folder, run, dataset)
    encoder = read_encoder(run, weights_dir)
    weights = _remember_weights(folder, run.weights, encoder)
    dataset.read_one("train")
    return _Given(dataset.outline("train"), split, weights, encoder)


def _settled(run: RunConfig, given: _Given, options: TrainOptions) -> tuple[Setup, Schedule]:
    """What the steps work with, and how many there are; the same in all processes of the run."""
    recipe, images, chosen = run.recipe, given.images, given.numbers("train")
    setup = make_setup(
        recipe,
        CropPlan(chosen, images.sizes, recipe.batch, recipe.crop, recipe.rotate, (run.dataset, run.repeat)),
        statistics_of(given.weights),
        images.padded,
        devices=options.devices,
        place=options.stack,
        dispatch=options.dispatch,
    )
    settings = {"stack": setup.resident, "dispatch": setup.dispatch}
    _check_same(run=run.to_json(), data=given.split, weights=given.weights, **settings)
    return setup, make_schedule(recipe, len(chosen))


@functools.lru_cache(maxsize=1)
def _feed(name: str, data_dir: Path, crop: int, mesh: Mesh, place: Place) -> Feed:
    images = datasets.open_once(name, data_dir).train
    stack = pack(images.pixels, images.masks, images.sizes)
    return make_feed(stack, crop, replicated(mesh), sharded(mesh), place)


def read_encoder(run: RunConfig, weights_dir: Path) -> EncoderWeights | None:
    """The run's converted weights; None for random ones."""
    return None if run.weights == RANDOM else _encoder(weights_dir, run.weights, run.recipe.model)


@functools.lru_cache(maxsize=1)
def _encoder(weights_dir: Path, name: str, model: ModelConfig) -> EncoderWeights:
    return encoder_weights.read(weights_dir, name, model)


def _begin(
    checkpoints: Checkpoints,
    run: RunConfig,
    encoder: EncoderWeights | None,
    setup: Setup,
    say: Callable[[str], None],
) -> TrainState:
    """The state that the run goes on from, on the devices. Only the process that leads reads checkpoints."""
    like, *_ = setup.like(setup.dispatch)
    restored = checkpoints.restore_latest(like, say)
    if from_first(np.array(restored is None)):
        return setup.begin(*from_first(initial(run.recipe.model, encoder, (run.dataset, run.repeat))))
    if restored is None:  # another process reads it
        restored = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    return to_devices(from_first(restored), setup.whole)


def _check_same(**values: Any) -> None:
    """Processes that were given different things would train nonsense, or wait for each other for ever."""
    if names := differing(values):
        raise UsageError(
            f"not the same in all processes of the run: {', '.join(names)}",
            remedy="give the same options, data and weights to all, and hosts with devices of the same kind",
        )


def _split(folder: RunFolder, run: RunConfig, dataset: datasets.Dataset) -> dict[str, Any]:
    """Draw the split, write it down, and refuse to go on with data that has changed since."""
    images = dataset.outline("train")
    drawn = datasets.split(
        run.dataset, images.ids, images.patients, run.repeat, run.fraction, run.recipe.validation_share
    )
    split: dict[str, Any] = {"dataset": run.dataset, "fingerprint": dataset.fingerprint}
    split |= {name: list(value) for name, value in dataclasses.asdict(drawn).items()}
    _remember(
        folder.split, split, "the prepared data, or the rule that divides them, have changed since this run began"
    )
    return split


def _remember_weights(folder: RunFolder, name: str, encoder: EncoderWeights | None) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name, "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "source": name}
    for key in ("sha256", "licence", "citation", "arrays_sha256"):
        about[key] = None
    if encoder is not None:
        receipt = encoder.receipt
        about |= {key: getattr(receipt, key) for key in about if key != "name"}
    about |= {"mean": list(about["mean"]), "std": list(about["std"])}
    _remember(folder.weights, about, "the initial weights have changed since this run began")
    return about


def _remember(file: Path, value: dict[str, Any], problem: str) -> None:
    """Write a value the first time; afterwards it must be the same. The process that leads sees to it."""
    if not leads():
        return
    if not file.exists():
        write_json(file, value)
    elif read_json(file, remedy=f"delete {file.parent}") != value:
        raise InputError(
            problem, file=file, remedy=f"bring the former ones back, or delete {file.parent} and train anew"
        )
