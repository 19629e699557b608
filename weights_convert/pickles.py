"""What a pickle would call, read from its opcodes: nothing is executed, nothing is built.

`torch.load(weights_only=True)` refuses foreign code by itself; this scan comes first, allows less, bounds what would
be allocated, and says at which byte the trouble lies.
"""

import pickletools
import re
from io import BytesIO
from pathlib import Path
from typing import Any

from jaxseg.errors import InputError

LONGEST = 16 << 20  # bytes of pickle; a ResNet152 with its optimiser takes a hundredth
INTEGERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4")  # BINPUT has a place in the memo
REMEDY = "load it where it was made and save the plain tensors: torch.save(model.state_dict(), FILE)"

TENSORS = re.compile(
    r"collections\.OrderedDict"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage"
    r"|torch\.(Size|device|float32|float64|float16|bfloat16|int64|int32|int16|int8|uint8|bool)"
    r"|_codecs\.encode"
    r"|(builtins|__builtin__)\.set"
)
# Classes of training frameworks that stand beside the weights; each becomes an empty placeholder, its code is not run.
PLACEHOLDERS = (
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.early_stopping.EarlyStopping",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
)


class Placeholder:
    """Stands for an object that is not needed; takes any arguments and state and keeps none."""

    def __new__(cls, *arguments: Any) -> "Placeholder":
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def check(content: bytes, pickles: int, file: Path, file_size: int) -> None:
    """Scan `pickles` pickles one after the other at the start of `content`.

    Raises:
        InputError: a pickle is cut off or malformed, asks for anything but tensors in plain containers, or announces
            a storage larger than the file.
    """
    stream = BytesIO(content)
    for _ in range(pickles):
        start = stream.tell()
        try:
            _check_one(stream, file, file_size)
        except InputError:
            raise
        except Exception as error:  # pickletools raises many types for malformed input
            raise InputError(
                f"the pickle that starts at byte {start} is damaged: {error}",
                file=file,
                remedy="the file is incomplete or damaged: get it again",
            ) from error


def _check_one(stream: BytesIO, file: Path, file_size: int) -> None:
    number = 0  # the largest since the last MARK: of a storage's name, its elements
    for opcode, argument, position in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            _check_name(str(argument).replace(" ", "."), opcode.name, position, file)
        elif opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            raise InputError(
                f"the pickle's opcode {opcode.name} at byte {position} is not one that torch.save writes",
                file=file,
                remedy=REMEDY,
            )
        elif opcode.name == "MARK":
            number = 0
        elif isinstance(argument, int) and opcode.name in INTEGERS:
            number = max(number, argument)
        elif opcode.name == "BINPERSID" and number > file_size:
            raise InputError(
                f"the pickle announces a storage that does not fit into the file, at byte {position}",
                file=file,
                found=f"{number} elements",
                expected=f"at most the file's {file_size} bytes",
                remedy="the file is incomplete, damaged or hostile: get it again",
            )


def _check_name(name: str, opcode: str, position: int | None, file: Path) -> None:
    if opcode == "GLOBAL" and (TENSORS.fullmatch(name) or name in PLACEHOLDERS):
        return
    raise InputError(
        "is not a file of tensors alone",
        file=file,
        found=f"its pickle asks for {name!r} at byte {position}",
        expected="tensors in dictionaries; nothing was executed",
        remedy=REMEDY,
    )
