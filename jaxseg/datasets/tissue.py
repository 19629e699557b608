"""Tissue drawn by rule: glands in stroma, and nuclei in dense tissue, each with things that only look like them.

Lengths are pixels at site a (about 10x for glands, 20x for nuclei) and are multiplied by the site's scale.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxseg.datasets.example import InstanceMap, Pixels
from jaxseg.datasets.stain import Field, Site, fibres, photograph, texture

CLASSES = ("epithelium", "lumen", "lymphocytes")  # of draw_tissue, in the order of their values
EPITHELIUM, LUMEN, LYMPHOCYTES = 1, 2, 3
Polar = tuple[tuple[slice, slice], Field, Field]  # window, distance from the centre, angle


@dataclass(frozen=True)
class Patient:
    """What the images of a patient share.

    Attributes:
        hematoxylin, eosin: strength of the stains, about 1.
        irregular: how far outlines leave the ellipse, 0 … 0.3.
        dense: how close objects stand, about 1.
    """

    hematoxylin: float
    eosin: float
    irregular: float
    dense: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Patient":
        return cls(rng.uniform(0.85, 1.15), rng.uniform(0.8, 1.2), rng.uniform(0.08, 0.2), rng.uniform(0.9, 1.1))


@dataclass
class Canvas:
    """Amounts of dye and the objects drawn so far."""

    shape: tuple[int, int]
    scale: float
    rng: np.random.Generator
    hematoxylin: Field = field(init=False)
    eosin: Field = field(init=False)
    instances: InstanceMap = field(init=False)
    classes: InstanceMap = field(init=False)

    def __post_init__(self) -> None:
        self.hematoxylin = np.zeros(self.shape, np.float32)
        self.eosin = np.zeros(self.shape, np.float32)
        self.instances = np.zeros(self.shape, np.int32)
        self.classes = np.zeros(self.shape, np.int32)

    def around(self, row: float, column: float, reach: float) -> Polar | None:
        """Polar coordinates of the pixels within `reach` of a point; None where that is outside."""
        top, bottom = max(int(row - reach), 0), min(int(row + reach) + 2, self.shape[0])
        left, right = max(int(column - reach), 0), min(int(column + reach) + 2, self.shape[1])
        if top >= bottom or left >= right:
            return None
        y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
        y, x = y - np.float32(row), x - np.float32(column)
        return (slice(top, bottom), slice(left, right)), np.hypot(y, x), np.arctan2(y, x)

    def lay(self, window: tuple[slice, slice], cover: Field, hematoxylin: Any, eosin: Any) -> None:
        """Replace what is there by these amounts of dye, as far as `cover` (0 … 1) says."""
        self.hematoxylin[window] += cover * (hematoxylin - self.hematoxylin[window])
        self.eosin[window] += cover * (eosin - self.eosin[window])

    def ellipse(
        self, row: float, column: float, axes: tuple[float, float], turn: float, dyes: tuple[float, float]
    ) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]] | None:
        """Lay a soft-edged ellipse; returns the window and what lies within its outline."""
        place = self.around(row, column, max(axes) + 2)
        if place is None:
            return None
        window, distance, angle = place
        edge = _ellipse_radius(angle - turn, axes)
        self.lay(window, np.clip(edge - distance + 0.5, 0, 1), *dyes)
        return window, distance < edge

    def free(self, window: tuple[slice, slice], inside: npt.NDArray[np.bool_]) -> bool:
        return not self.instances[window][inside].any()

    def point(self) -> tuple[float, float]:
        """A random place, a little outside of the image too."""
        row, column = self.rng.uniform(-0.05, 1.05, 2)
        return row * self.shape[0], column * self.shape[1]


def _ellipse_radius(angle: Any, axes: tuple[float, float]) -> Any:
    along, across = axes
    return along * across / np.hypot(across * np.cos(angle), along * np.sin(angle))


def _waves(rng: np.random.Generator, strength: float) -> list[tuple[int, float, float]]:
    return [(order, rng.normal(0, strength / order), rng.uniform(0, 2 * np.pi)) for order in (2, 3, 4, 5)]


def _outline(angle: Any, radius: float, waves: list[tuple[int, float, float]]) -> Any:
    """Radius of a closed wavy line at each angle."""
    return radius * (1 + sum(height * np.cos(order * angle + phase) for order, height, phase in waves))


def draw_glands(
    shape: tuple[int, int], patient: Patient, site: Site, rng: np.random.Generator
) -> tuple[Pixels, InstanceMap]:
    """Colon-like tissue: rings of epithelium around a lumen, in fibrous stroma; one object per gland."""
    canvas = Canvas(shape, site.scale, rng)
    _stroma(canvas, eosin=0.55, streaky=0.13)
    _gaps(canvas, count=rng.poisson(1.5))
    _scattered_nuclei(canvas, count=int(0.004 * shape[0] * shape[1] / site.scale**2))
    _lymphocytes(canvas, clusters=rng.poisson(1.2))
    _fill(canvas, _gland, patient, rng.uniform(0.36, 0.5), tries=200)
    return _developed(canvas, patient, site)


def draw_tissue(
    shape: tuple[int, int], patient: Patient, site: Site, rng: np.random.Generator
) -> tuple[Pixels, InstanceMap]:
    """Colon-like tissue with more lymphocytes; the map holds `CLASSES` instead of objects.

    Cracks are white like lumina, nuclei of epithelium and stroma dark like lymphocytes: neither is their class.
    """
    canvas = Canvas(shape, site.scale, rng)
    _stroma(canvas, eosin=0.55, streaky=0.13)
    _gaps(canvas, count=rng.poisson(1.5))
    _scattered_nuclei(canvas, count=int(0.003 * shape[0] * shape[1] / site.scale**2))
    _lymphocytes(canvas, clusters=4 + rng.poisson(2))
    _fill(canvas, _gland, patient, rng.uniform(0.3, 0.42), tries=200)
    return _developed(canvas, patient, site)[0], canvas.classes


def draw_nuclei(
    shape: tuple[int, int], patient: Patient, site: Site, rng: np.random.Generator
) -> tuple[Pixels, InstanceMap]:
    """Dense tissue at high magnification: one object per nucleus; red cells, smears and debris are not objects."""
    canvas = Canvas(shape, site.scale, rng)
    _stroma(canvas, eosin=0.5, streaky=0.08)
    _cytoplasm(canvas)
    _gaps(canvas, count=rng.poisson(0.8))
    _red_cells(canvas, count=rng.poisson(9))
    _smears(canvas, count=rng.poisson(5))
    _fill(canvas, _nucleus, patient, rng.uniform(0.17, 0.24), tries=2000)
    _debris(canvas, count=rng.poisson(12))
    return _developed(canvas, patient, site)


def _fill(canvas: Canvas, draw: Callable[[Canvas, Patient], None], patient: Patient, share: float, tries: int) -> None:
    """Draw objects until they cover a share of the image, larger for dense tissue, or there have been enough tries."""
    for _ in range(tries):
        if (canvas.instances > 0).mean() >= share * patient.dense:
            break
        draw(canvas, patient)


def _developed(canvas: Canvas, patient: Patient, site: Site) -> tuple[Pixels, InstanceMap]:
    thickness = 1 + 0.1 * texture(canvas.rng, canvas.shape, 30 * canvas.scale)
    hematoxylin = np.clip(canvas.hematoxylin * patient.hematoxylin * thickness, 0, None)
    eosin = np.clip(canvas.eosin * patient.eosin * thickness, 0, None)
    return photograph(hematoxylin, eosin, site, canvas.rng), canvas.instances


def _stroma(canvas: Canvas, eosin: float, streaky: float) -> None:
    streaks = fibres(canvas.rng, canvas.shape, 1.5 * canvas.scale)
    clouds = texture(canvas.rng, canvas.shape, 14 * canvas.scale)
    canvas.eosin += np.clip(eosin + streaky * streaks + 0.1 * clouds, 0.05, None)
    canvas.hematoxylin += np.clip(0.08 + 0.03 * streaks - 0.03 * clouds, 0, None)


def _gaps(canvas: Canvas, count: int) -> None:
    """Cracks, vessels and fat: white like a lumen, without epithelium."""
    for _ in range(count):
        row, column = canvas.point()
        axes = canvas.rng.uniform(5, 15) * canvas.scale, canvas.rng.uniform(3, 7) * canvas.scale
        canvas.ellipse(row, column, axes, canvas.rng.uniform(0, np.pi), (0.02, 0.05))


def _scattered_nuclei(canvas: Canvas, count: int) -> None:
    """Spindle-shaped nuclei of fibroblasts, in stroma."""
    for _ in range(count):
        row, column = canvas.point()
        axes = canvas.rng.uniform(2.4, 4) * canvas.scale, canvas.rng.uniform(0.9, 1.4) * canvas.scale
        canvas.ellipse(row, column, axes, canvas.rng.uniform(0, np.pi), (canvas.rng.uniform(0.6, 1), 0.35))


def _lymphocytes(canvas: Canvas, clusters: int) -> None:
    """Crowds of round dark nuclei: as dark as epithelium, without a lumen."""
    for _ in range(clusters):
        centre = np.array(canvas.point())
        for offset in canvas.rng.normal(0, 9 * canvas.scale, (canvas.rng.integers(12, 30), 2)):
            radius = canvas.rng.uniform(1.4, 2) * canvas.scale
            dyes = (canvas.rng.uniform(0.9, 1.3), 0.3)
            row, column = centre + offset
            drawn = canvas.ellipse(row, column, (radius, radius), 0.0, dyes)
            if drawn is not None:
                window, inside = drawn
                canvas.classes[window][inside] = LYMPHOCYTES


def _gland(canvas: Canvas, patient: Patient) -> None:
    """One gland where there is room: cytoplasm, lumen, and rows of nuclei near the outer edge."""
    rng, scale = canvas.rng, canvas.scale
    row, column = canvas.point()
    radius = rng.uniform(16, 34) * scale
    waves, squeeze, turn = _waves(rng, patient.irregular), rng.uniform(1, 1.45), rng.uniform(0, np.pi)
    place = canvas.around(row, column, 2 * radius)
    if place is None:
        return

    def outer(angle: Any) -> Any:
        return _outline(angle, 1, waves) * _ellipse_radius(angle - turn, (radius * squeeze, radius / squeeze))

    window, distance, angle = place
    edge = outer(angle)
    if not canvas.free(window, distance < edge + 3 * scale) or (distance < edge).sum() < 40:
        return
    canvas.instances[window][distance < edge] = canvas.instances.max() + 1
    canvas.classes[window][distance < edge] = EPITHELIUM

    mucin = texture(rng, distance.shape, 2 * scale)
    canvas.lay(window, np.clip(edge - distance + 0.5, 0, 1), 0.16 + 0.04 * mucin, 0.36 + 0.07 * mucin)
    share = rng.uniform(0.3, 0.5) if rng.random() < 0.85 else 0.0  # some are cut so that no lumen shows
    lumen_waves = _waves(rng, 1.5 * patient.irregular)
    lumen = share * edge * _outline(angle, 1, lumen_waves)
    canvas.classes[window][distance < lumen] = LUMEN
    secretion = np.clip(0.06 + 0.05 * texture(rng, distance.shape, 4 * scale), 0, None)
    canvas.lay(window, np.clip(lumen - distance + 0.5, 0, 1), 0.02, secretion)
    _epithelium(canvas, (row, column), outer, scale)


def _epithelium(canvas: Canvas, centre: tuple[float, float], outer: Any, scale: float) -> None:
    """Nuclei along the outline, standing on it, their long axis towards the lumen; here and there a second row."""
    angles = np.linspace(0, 2 * np.pi, 721)[:-1]
    radii = outer(angles)
    along = np.cumsum(np.hypot(radii, np.gradient(radii, angles)) * (angles[1] - angles[0]))  # arc length
    for depth, chance in ((4.0, 0.97), (8.0, 0.35)):
        for position in np.arange(0, along[-1], 3.7 * scale):
            if canvas.rng.random() > chance:
                continue
            index = int(np.searchsorted(along, position + canvas.rng.normal(0, 0.6 * scale)) % len(angles))
            angle = angles[index]
            radius = radii[index] - (depth + canvas.rng.normal(0, 0.7)) * scale
            if radius < 2 * scale:
                continue
            row, column = centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)
            axes = canvas.rng.uniform(2.3, 3.4) * scale, canvas.rng.uniform(1.3, 1.9) * scale
            turn = angle + canvas.rng.normal(0, 0.25)
            canvas.ellipse(row, column, axes, turn, (canvas.rng.uniform(0.7, 1.1), 0.35))


def _cytoplasm(canvas: Canvas) -> None:
    """Patches of bluish or pale cytoplasm, as dark as a pale nucleus in places."""
    clouds = texture(canvas.rng, canvas.shape, 11 * canvas.scale)
    patches = 1 / (1 + np.exp(-4 * clouds))
    canvas.hematoxylin += 0.34 * patches
    canvas.eosin += 0.2 * (texture(canvas.rng, canvas.shape, 8 * canvas.scale) > 0.8) - 0.12 * patches


def _red_cells(canvas: Canvas, count: int) -> None:
    """Red blood cells: nuclear size, strong eosin, no hematoxylin."""
    for _ in range(count):
        row, column = canvas.point()
        axes = canvas.rng.uniform(3, 4.2) * canvas.scale, canvas.rng.uniform(2.6, 3.6) * canvas.scale
        canvas.ellipse(row, column, axes, canvas.rng.uniform(0, np.pi), (0.05, canvas.rng.uniform(1, 1.4)))


def _smears(canvas: Canvas, count: int) -> None:
    """Chromatin drawn out into threads while cutting: as dark as nuclei, long and thin."""
    for _ in range(count):
        row, column = canvas.point()
        axes = canvas.rng.uniform(10, 22) * canvas.scale, canvas.rng.uniform(1, 2.2) * canvas.scale
        dyes = (canvas.rng.uniform(0.6, 1), 0.35)
        canvas.ellipse(row, column, axes, canvas.rng.uniform(0, np.pi), dyes)


def _nucleus(canvas: Canvas, patient: Patient) -> None:
    """One nucleus where there is room: chromatin texture, a darker rim, some pale and some dense."""
    rng, scale = canvas.rng, canvas.scale
    row, column = canvas.point()
    size = rng.uniform(3.6, 6.6) * scale
    axes, turn = (size * rng.uniform(1, 1.3), size / rng.uniform(1, 1.35)), rng.uniform(0, np.pi)
    place = canvas.around(row, column, 2 * size)
    if place is None:
        return
    window, distance, angle = place
    edge = _ellipse_radius(angle - turn, axes) * _outline(angle, 1, _waves(rng, 0.6 * patient.irregular))
    inside = distance < edge
    if not canvas.free(window, distance < edge + 0.3 * scale) or inside.sum() < 8:
        return
    canvas.instances[window][inside] = canvas.instances.max() + 1
    pale = rng.random() < 0.4
    body = rng.uniform(0.36, 0.5) if pale else rng.uniform(0.65, 1.1)
    rim = (0.32 if pale else 0.12) * np.exp(-(((distance - edge + 1) / (0.8 * scale)) ** 2))
    chromatin = 0.1 * texture(rng, distance.shape, 1.1 * scale)
    canvas.lay(window, np.clip(edge - distance + 0.5, 0, 1), body + rim + chromatin, 0.3)


def _debris(canvas: Canvas, count: int) -> None:
    """Specks of pigment and dust: darker than nuclei and much smaller."""
    for _ in range(count):
        row, column = canvas.point()
        radius = canvas.rng.uniform(0.5, 1.2) * canvas.scale
        canvas.ellipse(row, column, (radius, radius), 0.0, (canvas.rng.uniform(0.9, 1.4), canvas.rng.uniform(0, 1)))
