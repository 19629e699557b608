"""Objects of masks that tell only foreground from background."""

import numpy as np
import numpy.typing as npt


def connected(mask: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Number the regions of a mask (H, W) whose pixels share sides; corners do not connect."""
    from scipy import ndimage

    regions = np.zeros(mask.shape, np.int32)
    ndimage.label(mask > 0, output=regions)
    return regions
