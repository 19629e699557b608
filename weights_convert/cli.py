"""Flags of `python -m weights_convert convert | inspect | verify | export | list`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from jaxseg.errors import UsageError
from weights_convert.sources import NOT_STATED

Triple = tuple[float, float, float]


def convert(
    file: Positional[Path],
    out: Annotated[Path, arg(help="weights directory; the result is OUT/NAME/")],
    source: Annotated[str | None, arg(help="which known weights the file is; see `list`")] = None,
    mean: Annotated[
        Triple | None, arg(help="of weights that `list` does not know: R G B, for images in [0, 1]")
    ] = None,
    std: Annotated[Triple | None, arg(help="of weights that `list` does not know: R G B, for images in [0, 1]")] = None,
    name: Annotated[str | None, arg(help="name of the weights in studies; default: the source's")] = None,
    licence: Annotated[str, arg(help="of weights that `list` does not know, for the receipt")] = NOT_STATED,
    citation: Annotated[str, arg(help="of weights that `list` does not know, for the receipt")] = NOT_STATED,
    address: Annotated[str, arg(help="of weights that `list` does not know, for the receipt")] = NOT_STATED,
    allow_other_file: Annotated[bool, arg(help="accept a file that is not the one which the source publishes")] = False,
) -> None:
    """Convert a file of PyTorch weights to OUT/NAME/, compare it with PyTorch, write the receipt."""
    from jaxseg.models.receipt import Receipt
    from weights_convert.convert import Origin
    from weights_convert.convert import convert as run

    origin = Origin(source, mean, std, licence, citation, address, allow_other_file)
    folder = run(file, out, origin, name)
    receipt = Receipt.read(folder)
    print(f"{folder}: {receipt.layout}, ResNet{receipt.depth}, width {receipt.width:g}")
    print(f"  {receipt.filled} tensors used, {len(receipt.dropped)} dropped for stated reasons; {receipt.remarks}")
    print("  largest relative difference from PyTorch: " + _stages(receipt.agreement))
    print(f"  mean {receipt.mean}, std {receipt.std}, from {receipt.statistics_from}")
    print(f"  licence: {receipt.licence}\n  citation: {receipt.citation}")


def inspect(file: Positional[Path]) -> None:
    """Say what a file of weights is: size, hash, layout, architecture, what would be used and dropped."""
    from weights_convert.inspection import inspect as run

    found = run(file)
    print(found.text)
    if found.refusal:
        raise found.refusal


def verify(
    folders: Positional[tuple[Path, ...]],
    against: Annotated[Path | None, arg(help="the source file, to compare every bit (needs PyTorch)")] = None,
) -> None:
    """Recheck converted folders without PyTorch: digest, shapes, golden activations."""
    from weights_convert.verify import summary, verify_against
    from weights_convert.verify import verify as run

    if not folders:
        remedy = "give folders of converted weights: python -m weights_convert verify WEIGHTS_DIR/NAME"
        raise UsageError("nothing to verify", remedy=remedy)
    for folder in folders:
        print(summary(run(folder)))
        if against:
            verify_against(folder, against)
            print(f"  every tensor is, bit for bit, that of {against}")


def export(
    run: Positional[Path],
    out: Annotated[Path, arg(help="a .pth, .pt, .safetensors or .onnx file")],
    budget: Annotated[int | None, arg(help="epoch budget whose best model is taken; default: the whole run")] = None,
) -> None:
    """Write a trained run as a state_dict of the common PyTorch U-Net, or as ONNX, checked against our own logits."""
    from weights_convert.export import export as write

    done = write(run, out, budget)
    print(f"{done.file}: {done.tensors} tensors; {done.judge}'s logits differ by {done.difference:.1e} of the largest")


def list_sources() -> None:
    """List the known weights: files, size, statistics, licence, citation, address."""
    from weights_convert.listing import show

    show()


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and call."""
    commands: dict[str, Callable[..., None]] = {
        "convert": convert,
        "inspect": inspect,
        "verify": verify,
        "export": export,
        "list": list_sources,
    }
    tyro.extras.subcommand_cli_from_dict(
        commands,
        args=arguments,
        prog="python -m weights_convert",
        config=(tyro.conf.FlagCreatePairsOff,),
        description="PyTorch weights to Flax and back, each conversion compared with PyTorch and with a receipt.",
    )


def _stages(differences: dict[str, float]) -> str:
    """From the stem to the deepest stage; receipts sort by name."""
    order = sorted(differences, key=lambda stage: (stage != "stem", stage))
    return ", ".join(f"{stage} {differences[stage]:.0e}" for stage in order)
