"""Objects of masks that tell only foreground from background, or only classes; and what is taken for no object."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.image_files import read_mask
from jaxseg.errors import InputError
from jaxseg.wording import listed

SPECKS = 8  # pixels; most objects of an image being smaller is no annotation
# Share of rims among the values beside the commonest; on made-up discs 0.99 and more where they were smoothed, 0.5 at
# most in crowded tiles of 64 x 64 pixels where they were numbered.
_RIMS = 0.9


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


def pieces(objects: npt.NDArray[np.int32]) -> int:
    """Number of regions of an object map (H, W) whose pixels share sides and number."""
    from skimage.measure import label

    return int(label(objects, background=0, connectivity=1).max())


def read_binary(file: Path) -> npt.NDArray[np.int32]:
    """Connected regions of a mask of one value beside 0; more values are an `InputError`."""
    labels = read_mask(file)
    values = np.unique(labels[labels > 0])
    if len(values) > 1:
        raise InputError(
            "has several values, so it is no binary mask",
            file=file,
            found=listed(map(str, values.tolist())),
            expected="0 and one other value",
            remedy="give --masks instances or classes if the values mean something; "
            "if the mask was smoothed or compressed with loss, export it again",
        )
    return connected(labels)


def read_objects(file: Path) -> npt.NDArray[np.int32]:
    """Values as objects; a mask that was smoothed, whose rims would be taken for objects, is an `InputError`."""
    labels = read_mask(file)
    if _smoothed(labels):
        raise InputError(
            "is a mask that was smoothed, or saved with loss, not a number per object",
            file=file,
            found=f"{np.unique(labels[labels > 0]).size} values, nearly all of them thin rims around one",
            expected="0 and one other value, or a number per object",
            remedy="set what is above half to 255 and the rest to 0, then give --masks binary; "
            "give --masks instances if each value is an object",
        )
    return labels


def _smoothed(labels: npt.NDArray[np.int32]) -> bool:
    """Whether nearly all values lie next to others and nowhere fill 3 x 3 pixels, as the commonest value does."""
    from scipy import ndimage

    values, counts = np.unique(labels[labels > 0], return_counts=True)
    if len(values) < 3:
        return False
    highest = ndimage.maximum_filter(labels, 3)
    filled = labels[ndimage.minimum_filter(labels, 3) == highest]
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, np.iinfo(np.int32).max), 3)  # background apart
    touching = labels[(labels > 0) & ((highest > labels) | (lowest < labels))]
    rims = np.setdiff1d(touching, filled)
    return bool(np.isin(values[counts.argmax()], filled) and len(rims) >= _RIMS * (len(values) - 1))


def specks(objects: npt.NDArray[np.int32]) -> int:
    """Number of objects of less than `SPECKS` pixels."""
    _, counts = np.unique(objects[objects > 0], return_counts=True)
    return int((counts < SPECKS).sum())
