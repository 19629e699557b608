"""What a run is and what a study is: frozen values with a digest. Importing this touches no device."""

import dataclasses
import hashlib
import importlib.util
import json
import math
import numbers
import os
import re
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from jaxseg.errors import UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
DEPTHS = (18, 34, 50, 101, 152)
STUDY_FILE, REPORT_FILE = "study.json", "report.html"  # in a study's folder
ComputeDtype = Literal["auto", "float32", "bfloat16"]
COMPUTE_DTYPES = get_args(ComputeDtype)
LARGEST = 2**63 - 1  # of whole numbers in tables
SURROGATE = re.compile("[\ud800-\udfff]")
RANDOM = "random"  # the initial weights that need no file


def check_name(kind: str, name: str) -> None:
    """Names become parts of run ids and folders: lower case, digits, underscores."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        near = re.sub("[^a-z0-9]+", "_", str(name).lower()).strip("_")
        raise UsageError(
            f"not a usable name of {kind}",
            found=repr(name),
            expected="lower-case letters, digits, underscores",
            remedy=f"choose another one{near and f', such as {near}'}",
        )


def check_new_weights(name: str) -> None:
    """Whether weights that are made can be called so: "random" needs no file, so one would never be read."""
    check_name("weights", name)
    if name == RANDOM:
        raise UsageError("the name stands for weights that are drawn", found=name, remedy="choose another name")


def require(condition: bool, name: str, found: object, expected: str) -> None:
    """`UsageError` on a bad value of a configuration's field `name`."""
    if not condition:
        raise UsageError(f"bad value for {name}", found=repr(found), expected=expected)


BRACKETS = "in brackets with a comma after each"
Kind = type[int] | type[float]


def coerce_numbers(value: object, kind: Kind, *names: str) -> None:
    """Give fields of a frozen configuration one type: 1 and 1.0 are equal, but their digests are not.

    `UsageError` on one that is no finite number, or not a whole one where `kind` is int.
    """
    for name in names:
        object.__setattr__(value, name, _number(kind, name, getattr(value, name)))


def _series(value: object, kind: Kind, *names: str) -> None:
    """The same for fields of several numbers."""
    for name in names:
        found = getattr(value, name)
        require(isinstance(found, tuple | list), name, found, f"numbers {BRACKETS}, such as (1,) or (1, 2)")
        object.__setattr__(value, name, tuple(_number(kind, name, each) for each in found))


def _several(value: object, kind: type, example: str, *names: str) -> None:
    """Refuse one where several are wanted: without its comma, ("glas",) is a text, which is taken letter by letter."""
    for name in names:
        found = getattr(value, name)
        fits = isinstance(found, tuple | list) and all(isinstance(each, kind) for each in found)
        require(fits, name, found, f"values {BRACKETS}, such as {example}")
        object.__setattr__(value, name, tuple(found))


def _number(kind: Kind, name: str, found: Any) -> float:
    real: Any = found if isinstance(found, numbers.Real) else math.nan
    whole = "whole " if kind is int else ""
    require(abs(real) <= LARGEST and kind(real) == real, name, found, f"a {whole}number below 2⁶³")
    return kind(real)


def _texts(value: object, *names: str) -> None:
    """Refuse what is no text, or one that no file can hold: with bytes in it that are no characters."""
    for name in names:
        found = getattr(value, name)
        require(isinstance(found, str) and not SURROGATE.search(found), name, found, "a text")


@dataclass(frozen=True)
class ModelConfig:
    """A U-Net on a ResNet encoder.

    Attributes:
        depth: layers of the ResNet: 18, 34, 50, 101 or 152.
        width: channels relative to the published ResNet, whose stem has 64; 1/8 makes a narrow net for CPUs.
        decoder: channels of the five decoder blocks, from the deepest; scaled by `width` as well.
        classes: foreground classes; 1 is the binary case.
    """

    depth: int = 50
    width: float = 1.0
    decoder: tuple[int, ...] = (256, 128, 64, 32, 16)
    classes: int = 1

    def __post_init__(self) -> None:
        coerce_numbers(self, int, "depth", "classes")
        _series(self, int, "decoder")
        coerce_numbers(self, float, "width")
        require(self.depth in DEPTHS, "depth", self.depth, f"one of {DEPTHS}")
        require(self.width > 0 and float(64 * self.width).is_integer(), "width", self.width, "n/64, n = 1, 2, …")
        require(len(self.decoder) == 5 and min(self.decoder) > 0, "decoder", self.decoder, "five positive widths")
        require(self.classes >= 1, "classes", self.classes, "at least 1")


@dataclass(frozen=True)
class Recipe:
    """How a model is trained and applied; the same for all weights, fractions and repeats of a study.

    Attributes:
        crop: side of the square training crops and inference windows, pixels; a multiple of 32.
        stride: distance of inference windows, pixels (the paper: 128).
        batch: crops per step, over all devices together.
        learning_rate: of Adam, constant.
        budgets: epoch budgets, ascending; each keeps the best model found so far, the last ends the run.
            An epoch is as many crops as there are training images (paper: one crop per image per epoch).
        validate_every: epochs between two measurements of the validation loss.
        validate_gap: steps that lie between two measurements at least; where an epoch is a step or less,
            measuring by epochs alone would cost more than training.
        validation_share: part of the official training set kept for validation, (0, 1).
        rotate: draw crops at any angle; otherwise only flips and place are random.
        compute_dtype: of activations; "auto" is bfloat16 on GPUs and float32 on CPUs. On CPUs bfloat16 rounds only what
            is multiplied, and is faster where the processor is (AMX, AVX-512 of AMD).
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    crop: int = 256
    stride: int = 128
    batch: int = 16
    learning_rate: float = 1e-4
    budgets: tuple[int, ...] = (4000,)
    validate_every: int = 10
    validate_gap: int = 20
    validation_share: float = 0.2
    rotate: bool = True
    compute_dtype: ComputeDtype = "auto"

    def __post_init__(self) -> None:
        coerce_numbers(self, int, "crop", "stride", "batch", "validate_every", "validate_gap")
        _series(self, int, "budgets")
        coerce_numbers(self, float, "learning_rate", "validation_share")
        require(self.crop > 0 and self.crop % 32 == 0, "crop", self.crop, "a positive multiple of 32 pixels")
        require(0 < self.stride <= self.crop, "stride", self.stride, f"1 … {self.crop}, the crop")
        require(self.batch >= 1, "batch", self.batch, "at least 1")
        require(0 < self.learning_rate < 1, "learning_rate", self.learning_rate, "between 0 and 1")
        ascending = all(a < b for a, b in zip(self.budgets, self.budgets[1:], strict=False))
        require(
            bool(self.budgets) and self.budgets[0] >= 1 and ascending,
            "budgets",
            self.budgets,
            "ascending epochs",
        )
        require(self.validate_every >= 1, "validate_every", self.validate_every, "at least 1 epoch")
        require(self.validate_gap >= 1, "validate_gap", self.validate_gap, "at least 1 step")
        require(0 < self.validation_share < 1, "validation_share", self.validation_share, "between 0 and 1")
        require(isinstance(self.model, ModelConfig), "model", self.model, "a ModelConfig(…)")
        require(isinstance(self.rotate, bool), "rotate", self.rotate, "True or False")
        require(self.compute_dtype in COMPUTE_DTYPES, "compute_dtype", self.compute_dtype, " or ".join(COMPUTE_DTYPES))


def _recipe_from_json(value: dict[str, Any]) -> Recipe:
    return Recipe(**{**value, "model": ModelConfig(**value["model"])})


@dataclass(frozen=True)
class RunConfig:
    """One training: a value whose digest names its folder.

    Attributes:
        dataset: name of a prepared dataset.
        weights: name of converted weights, or "random".
        fraction: part of the training images used, (0, 1].
        repeat: 0, 1, …; decides split, subset, decoder initialisation and crops, never the weights.
    """

    dataset: str
    weights: str = RANDOM
    fraction: float = 1.0
    repeat: int = 0
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_name("dataset", self.dataset)
        check_name("weights", self.weights)
        require(isinstance(self.recipe, Recipe), "recipe", self.recipe, "a Recipe(…)")
        coerce_numbers(self, float, "fraction")
        coerce_numbers(self, int, "repeat")
        require(0 < self.fraction <= 1, "fraction", self.fraction, "above 0, at most 1")
        require(self.repeat >= 0, "repeat", self.repeat, "0 or more")

    @property
    def digest(self) -> str:
        """First 8 hex digits of the SHA-256 of the configuration's canonical JSON."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def run_id(self) -> str:
        return f"{self.dataset}-{self.weights}-f{100 * self.fraction:g}-r{self.repeat}-{self.digest}"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`; KeyError, TypeError, ValueError or AttributeError on what that does not give."""
        return cls(**{**value, "recipe": _recipe_from_json(value["recipe"])})


@dataclass(frozen=True)
class TrainedWeights:
    """Initial weights that a study makes for itself: the encoder of a run on another dataset.

    Attributes:
        name: how the study's `weights` refer to it.
        run: the run whose best encoder is taken; it stands in the same study folder.
    """

    name: str
    run: RunConfig

    def __post_init__(self) -> None:
        check_new_weights(self.name)
        require(isinstance(self.run, RunConfig), "run", self.run, "a RunConfig(…)")


@dataclass(frozen=True)
class Study:
    """A grid of runs and what is asked of it.

    Attributes:
        name: short name; title: one line for the report.
        task: what is segmented, for instance "glands".
        datasets: trained on, each with all weights, fractions and repeats.
        weights: initial weights; the first is the reference that the others are compared with.
        fractions: parts of the training images, ascending.
        repeats: trainings with different split, subset, decoder and crops, paired over the weights.
        test_datasets: scored with every run, besides `datasets`.
        trained_weights: weights that the study trains before the grid.
        match: "epochs" gives every fraction the same number of epochs (the paper), so fewer images also mean
            fewer steps; "steps" lengthens the budgets of small fractions so that all take equally many steps.
    """

    name: str
    title: str
    task: str
    datasets: tuple[str, ...]
    weights: tuple[str, ...]
    fractions: tuple[float, ...]
    repeats: int
    recipe: Recipe = field(default_factory=Recipe)
    test_datasets: tuple[str, ...] = ()
    trained_weights: tuple[TrainedWeights, ...] = ()
    match: Literal["epochs", "steps"] = "epochs"

    def __post_init__(self) -> None:
        check_name("study", self.name)
        _texts(self, "title", "task")
        require(isinstance(self.recipe, Recipe), "recipe", self.recipe, "a Recipe(…)")
        _several(self, str, '("glas",) or ("glas", "crag")', "datasets", "weights", "test_datasets")
        _several(self, TrainedWeights, "(TrainedWeights(…),)", "trained_weights")
        _series(self, float, "fractions")
        coerce_numbers(self, int, "repeats")
        for kind, values in (
            ("datasets", self.datasets),
            ("weights", self.weights),
            ("fractions", self.fractions),
        ):
            require(bool(values) and len(set(values)) == len(values), kind, values, "at least one, none twice")
        for kind, names in (("dataset", self.datasets + self.test_datasets), ("weights", self.weights)):
            for name in names:
                check_name(kind, name)
        require(list(self.fractions) == sorted(self.fractions), "fractions", self.fractions, "ascending")
        require(self.repeats >= 1, "repeats", self.repeats, "at least 1")
        require(self.match in ("epochs", "steps"), "match", self.match, "epochs or steps")

    @property
    def tested_on(self) -> tuple[str, ...]:
        """Datasets that every run is scored on, first those that are trained on: the comparisons are made there."""
        return tuple(dict.fromkeys((*self.datasets, *self.test_datasets)))

    def recipe_at(self, fraction: float) -> Recipe:
        """The recipe at a data fraction: budgets lengthen by 1/fraction where steps are matched."""
        if self.match == "epochs":
            return self.recipe
        budgets = tuple(math.ceil(budget / fraction) for budget in self.recipe.budgets)
        return dataclasses.replace(self.recipe, budgets=budgets)

    def runs(self) -> list[RunConfig]:
        """The grid, repeats outermost so that an interrupted study is even over weights and fractions."""
        return [
            RunConfig(dataset, weights, fraction, repeat, self.recipe_at(fraction))
            for dataset in self.datasets
            for repeat in range(self.repeats)
            for fraction in self.fractions
            for weights in self.weights
        ]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`; KeyError, TypeError, ValueError or AttributeError on what that does not give."""
        recipe = _recipe_from_json(value["recipe"])
        trained = [TrainedWeights(item["name"], RunConfig.from_json(item["run"])) for item in value["trained_weights"]]
        return cls(**{**value, "recipe": recipe, "trained_weights": trained})


@dataclass(frozen=True)
class Locations:
    """Where prepared data and converted weights lie."""

    data: Path
    weights: Path

    @classmethod
    def choose(cls, data_dir: Path | None, weights_dir: Path | None) -> Self:
        """Options first, then JAXSEG_DATA and JAXSEG_WEIGHTS, then ./data and ./weights; absolute paths."""
        data = data_dir or Path(os.environ.get("JAXSEG_DATA") or "data")
        weights = weights_dir or Path(os.environ.get("JAXSEG_WEIGHTS") or "weights")
        return cls(data.absolute(), weights.absolute())


def _where(error: BaseException, path: Path) -> str:
    """The line of a file that an error passed through last."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).absolute() == path.absolute()]
    return f", line {lines[-1]}" if lines else ""


def load_study(path: Path) -> Study:
    """Run a configuration file and return what its `get_study()` gives; `UsageError` says what is wrong."""
    remedy = "see configs/demo.py for an example, and jaxseg/config.py for every field"
    if not path.is_file():
        raise UsageError("no such configuration file", file=path, remedy=remedy)
    spec = importlib.util.spec_from_file_location(f"study_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError("is not a Python file", file=path, expected="NAME.py", remedy=remedy)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        study = module.get_study()
    except UsageError as error:
        if error.file is not None:
            raise
        details = {"found": error.found, "expected": error.expected}
        raise UsageError(error.problem, file=path, remedy=error.remedy or remedy, **details) from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot be loaded{_where(error, path)}: {error!r}", file=path, remedy=remedy) from error
    if not isinstance(study, Study):
        raise UsageError("get_study() did not return a Study", file=path, found=type(study).__name__)
    return study
