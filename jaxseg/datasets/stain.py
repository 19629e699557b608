"""Stained tissue as optical densities: how much of each dye lies where, and what a scanner makes of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # which reads its modules when they are used

Field = npt.NDArray[np.float32]  # (H, W)


@dataclass(frozen=True)
class Site:
    """How one laboratory stains and scans.

    Attributes:
        hematoxylin, eosin: optical density per unit of dye in red, green, blue (natural logarithm).
        glass: transmission of the empty slide, red, green, blue, 0 … 1.
        scale: pixels relative to site a; 1.2 shows the same tissue 1.2 times larger.
        blur: standard deviation of the optics' blur, pixels.
        noise: standard deviation of the camera's noise, of 1.
    """

    hematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    glass: tuple[float, float, float]
    scale: float
    blur: float
    noise: float


SITES = {
    "a": Site((0.95, 1.05, 0.45), (0.10, 0.80, 0.32), (0.96, 0.95, 0.96), scale=1.0, blur=0.6, noise=0.012),
    "b": Site((1.05, 0.85, 0.38), (0.22, 0.72, 0.20), (0.93, 0.92, 0.87), scale=1.25, blur=1.0, noise=0.03),
}


def photograph(hematoxylin: Field, eosin: Field, site: Site, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Amounts of dye (H, W) to an RGB image (H, W, 3) by the law of Beer and Lambert, blurred, with noise."""
    dyes = np.stack([hematoxylin, eosin], axis=-1)  # (H, W, 2)
    density = dyes @ np.array([site.hematoxylin, site.eosin], np.float32)  # (H, W, 3)
    light = np.exp(-density) * np.array(site.glass, np.float32)
    light = scipy.ndimage.gaussian_filter(light, (site.blur, site.blur, 0))
    light += rng.normal(0, site.noise, light.shape).astype(np.float32)
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)


def texture(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> Field:
    """Smooth noise of mean 0 and standard deviation 1; `grain` is its length in pixels."""
    field = scipy.ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), grain, mode="wrap")
    return (field - field.mean()) / field.std()


def fibres(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> Field:
    """Wavy streaks such as collagen's, mean 0 and standard deviation 1; `grain` is their thickness in pixels."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    bend = texture(rng, shape, 12 * grain) * 0.9 + rng.uniform(0, np.pi)  # local direction, radians
    source = rng.standard_normal(shape).astype(np.float32)
    field = np.zeros(shape, np.float32)
    for step in np.linspace(-5, 5, 13) * grain:  # average along the direction
        where = [rows + step * np.sin(bend), columns + step * np.cos(bend)]
        field += scipy.ndimage.map_coordinates(source, where, order=1, mode="wrap")
    field = scipy.ndimage.gaussian_filter(field, 0.5 * grain, mode="wrap")
    return (field - field.mean()) / field.std()
