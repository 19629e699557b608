"""One file of weights -> one folder `<out>/<name>/` with receipt; or a refusal that says why."""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jaxseg.config import ModelConfig, check_new_weights
from jaxseg.errors import InputError, UsageError
from jaxseg.files import sha256
from jaxseg.models.encoder_weights import EncoderWeights
from jaxseg.models.receipt import FILE_NAME, Receipt
from jaxseg.models.unet import network
from jaxseg.storage import arrays
from jaxseg.storage.arrays import Tree
from weights_convert import sources
from weights_convert.comparison import measure
from weights_convert.layouts import Recognised, recognise
from weights_convert.mapping import ENCODER, Mapped, Tensors, to_flax
from weights_convert.read import read
from weights_convert.sources import NOT_STATED, Source, Statistics

OWN = "own"  # source of weights that no table knows
TERMS = ("licence", "citation", "address")  # of weights of the user's own


@dataclass(frozen=True)
class Converted:
    """A file's encoder in Flax's form, before it is compared and written."""

    recognised: Recognised
    mapped: Mapped


@dataclass(frozen=True)
class Origin:
    """What the user says about a file: a known source, or statistics of its own.

    Attributes:
        source: name in the table of known weights.
        mean, std: statistics of other weights, RGB, for images in [0, 1].
        licence, citation, address: of other weights, for the receipt.
        allow_other_file: accept a file that is not the one which the source publishes; the receipt says so.
    """

    source: str | None = None
    mean: Statistics | None = None
    std: Statistics | None = None
    licence: str = NOT_STATED
    citation: str = NOT_STATED
    address: str = NOT_STATED
    allow_other_file: bool = False


def load(file: Path) -> Converted:
    """Read, recognise and map a file; `InputError` says what does not fit."""
    return fitted(read(file), file)


def fitted(tensors: Tensors, file: Path) -> Converted:
    """The same of a file that has been read."""
    recognised = recognise(tensors, file)
    like = encoder_shapes(ModelConfig(recognised.depth, recognised.width))
    return Converted(recognised, to_flax(recognised.tensors, like, ENCODER, file))


def encoder_shapes(config: ModelConfig) -> Tree:
    """Shapes of an encoder's tree {"params", "stats"}."""
    shapes = network(config)
    return {"params": shapes.params["encoder"], "stats": shapes.stats["encoder"]}


def convert(file: Path, out: Path, origin: Origin, name: str | None = None) -> Path:
    """Convert `file` to `<out>/<name>/`, compare it with PyTorch, and return the folder.

    Args:
        name: of the folder, and of the weights in studies; default: the source's name.

    Raises:
        InputError: the file is damaged, unknown, incomplete, not the source's, or the frameworks disagree.
        UsageError: neither a source nor statistics are given, or both; or the name cannot be one of weights that are
            made, or is taken by other weights.
    """
    if name is not None:
        check_new_weights(name)
    with ThreadPoolExecutor(1) as beside:
        hashing = beside.submit(sha256, file) if file.is_file() else None
        converted = load(file)
    digest = hashing.result() if hashing else ""
    found, mapped = converted.recognised, converted.mapped
    source = identify(file, digest, found, origin)
    if name is None and source.name == OWN:
        raise UsageError("weights of your own need a name", file=file, remedy="add --name NAME")
    name = name or source.name
    _refuse_other(out / name, _identity(source, found, digest, arrays.digest(mapped.tree)))
    agreement = measure(found.tensors, mapped.tree, found.depth, found.width, file)
    prefix = found.layout.prefix
    receipt = Receipt(
        name=name,
        source=source.name,
        file=file.name,
        sha256=digest,
        bytes=file.stat().st_size,
        layout=found.layout.name,
        depth=found.depth,
        width=found.width,
        mean=source.mean,
        std=source.std,
        statistics_from=source.statistics_from,
        licence=source.licence,
        citation=source.citation,
        address=source.address,
        arrays_sha256="",  # filled in when written
        used={prefix + key: path for key, path in mapped.used.items()},
        dropped=found.dropped | {prefix + key: reason for key, reason in mapped.dropped.items()},
        filled=len(mapped.used),
        agreement=agreement.differences,
        golden=agreement.golden,
        remarks=remarks(source, digest),
    )
    return EncoderWeights(mapped.tree["params"], mapped.tree["stats"], receipt).write(out)


def identify(file: Path, digest: str, found: Recognised, origin: Origin) -> Source:
    """The known weights that the file is, or weights of the user's own with the statistics that were given.

    A file with a published hash needs no word of the user; any other is what the user says it is, within reason.
    """
    published = sources.published_as(digest)
    if origin.source is None and origin.mean is None and origin.std is None and published:
        _refuse_terms(origin, published.name)
        return published
    if origin.source is None:
        if origin.mean is None or origin.std is None:
            raise UsageError(
                "how its images are normalised is not known",
                file=file,
                found=f"SHA-256 {digest}, which is none of the known ones",
                expected="a known source, or the statistics that these weights were trained with",
                remedy="add --source NAME (see: python -m weights_convert list), or --mean R G B --std R G B",
            )
        return _own(file, origin, origin.mean, origin.std)
    if origin.mean is not None or origin.std is not None:
        raise UsageError(
            "--source and --mean/--std exclude each other", found=_options(origin), remedy="give one of them"
        )
    source = sources.named(origin.source)
    _refuse_terms(origin, source.name)
    if published and published.name != source.name:
        raise InputError(
            "is the file of another source",
            file=file,
            found=f"SHA-256 {digest}: {published.name}",
            expected=source.name,
            remedy=f"use --source {published.name}",
        )
    if not origin.allow_other_file:
        _refuse_unpublished(file, digest, found, source)
    return source


def _options(origin: Origin) -> str:
    """As they were typed."""
    given = {"--source": origin.source and [origin.source], "--mean": origin.mean, "--std": origin.std}
    return " ".join(f"{option} {' '.join(map(str, values))}" for option, values in given.items() if values)


def _refuse_terms(origin: Origin, source: str) -> None:
    """Terms of a known source stand in the table: others would be dropped without a word."""
    given = [name for name in TERMS if getattr(origin, name) != NOT_STATED]
    if given:
        raise UsageError(
            f"the licence, citation and address of {source} are known",
            found=" ".join(f"--{name}" for name in given),
            remedy="leave them out; they are for other weights, which --mean and --std describe",
        )


def _own(file: Path, origin: Origin, mean: Statistics, std: Statistics) -> Source:
    if not all(map(math.isfinite, mean + std)) or min(std) <= 0 or max(map(abs, mean + std)) > 1:
        raise UsageError(
            "bad statistics",
            found=f"--mean {mean} --std {std}",
            expected="three finite numbers each, for images in [0, 1]: none above 1, --std above 0",
            remedy="divide those of images in 0 … 255 by 255",
        )
    return Source(
        name=OWN,
        title="weights of the user",
        files=(file.name,),
        licence=origin.licence,
        citation=origin.citation,
        address=origin.address,
        statistics_from="--mean and --std of the command",
        mean=mean,
        std=std,
    )


def _refuse_unpublished(file: Path, digest: str, found: Recognised, source: Source) -> None:
    remedy = f"get it from {source.address}, or add --allow-other-file if you know better; the receipt will say so"
    if source.sha256 and not source.published(digest):
        expected = "SHA-256 that begins with " + " or ".join(source.sha256)
        raise InputError(
            f"is not the published file of {source.name}", file=file, found=digest, expected=expected, remedy=remedy
        )
    if found.depth not in source.depths or found.width != 1:
        raise InputError(
            f"is not the architecture of {source.name}",
            file=file,
            found=f"ResNet{found.depth}, width {found.width:g}",
            expected=" or ".join(f"ResNet{depth}" for depth in source.depths) + ", width 1",
            remedy=remedy,
        )


def remarks(source: Source, digest: str) -> str:
    """What the receipt says about how sure the origin is, and about traps."""
    if source.name == OWN:
        return "Statistics and origin are the user's statement."
    if source.published(digest):
        certainty = "The file's hash is the published one."
    elif source.sha256:
        certainty = "NOT the published file: its hash differs, and was accepted by --allow-other-file."
    else:
        certainty = "The publisher states no hash: that the file is this source's is the user's statement."
    return f"{certainty} Mind: {source.trap}." if source.trap else certainty


def _identity(source: Source, found: Recognised, digest: str, arrays_sha256: str) -> dict[str, object]:
    """What a name keeps: which weights a training gets, how it normalises images for them, and what the user said of
    weights of their own; fields of `Receipt`.
    """
    terms = {name: getattr(source, name) for name in TERMS} if source.name == OWN else {}
    return terms | {
        "sha256": digest,
        "source": source.name,
        "mean": source.mean,
        "std": source.std,
        "depth": found.depth,
        "width": found.width,
        "arrays_sha256": arrays_sha256,
    }


def _refuse_other(folder: Path, wanted: Mapping[str, object]) -> None:
    """Weights under a name never change silently: runs refer to them by name."""
    if not (folder / FILE_NAME).exists():
        return
    former = Receipt.read(folder)
    differs = {field: value for field, value in wanted.items() if getattr(former, field) != value}
    if differs:
        raise UsageError(
            "holds other weights already",
            file=folder,
            found=f"converted from {former.file}: " + _listed({field: getattr(former, field) for field in differs}),
            expected=_listed(differs),
            remedy="choose another --name, or delete the folder",
        )


def _listed(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{field} {value}" for field, value in fields.items())
