"""Objects of masks that tell only foreground from background, or only classes."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.image_files import read_mask
from jaxseg.errors import InputError


def connected(mask: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Number the regions of a mask (H, W) whose pixels share sides; corners do not connect."""
    from scipy import ndimage

    regions = np.zeros(mask.shape, np.int32)
    ndimage.label(mask > 0, output=regions)
    return regions


def connected_by_class(classes: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Number the regions of a class map (H, W) whose pixels share sides and class, class after class."""
    regions = np.zeros(classes.shape, np.int32)
    for value in np.unique(classes[classes > 0]):
        own = connected((classes == value).astype(np.int32))
        regions[own > 0] = own[own > 0] + regions.max()
    return regions


def read_binary(file: Path) -> npt.NDArray[np.int32]:
    """Connected regions of a mask of one value beside 0; more values are an `InputError`."""
    labels = read_mask(file)
    values = np.unique(labels[labels > 0])
    if len(values) > 1:
        raise InputError(
            "has several values, so it is no binary mask",
            file=file,
            found=", ".join(map(str, values[:8].tolist())) + (" …" if len(values) > 8 else ""),
            expected="0 and one other value",
            remedy="give --masks instances or classes if the values mean something; "
            "if the mask was smoothed or compressed with loss, export it again",
        )
    return connected(labels)
