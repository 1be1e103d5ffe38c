"""One field of cells that no microscope saw, drawn from numbers alone, and the truth about it.

Nuclei are soft-edged textured ellipses, some of them touching pairs; the reporter moves from the cytoplasm
into the nucleus as the dose rises along the columns, as in a translocation assay.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

RADIUS_PX = (11.5, 16.0)
CYTOPLASM_PX = 15.0
TOUCHING_SHARE = 0.16
BACKGROUND = (220.0, 60.0)
REPORTER_LEVEL = 1000.0
RATIO_RANGE = (0.6, 6.0)
PHOTONS_PER_COUNT = 0.5
READ_NOISE = 6.0

Pixels = NDArray[np.float32]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What to generate: equal recipes give equal bytes.

    ``nuclear_channel`` holds the nuclei, the first of the others the reporter.
    """

    name: str = "Demo24"
    n_rows: int = 4
    n_columns: int = 6
    n_fields: int = 2
    channels: tuple[str, ...] = ("DAPI", "GFP")
    nuclear_channel: int = 0
    size_px: int = 512
    nuclei_per_megapixel: float = 130.0
    seed: int = 20261120


class FieldTruth(NamedTuple):
    """What one field really holds: nuclei wholly inside, and nuclei that the border cuts."""

    well: str
    field: int
    n_nuclei: int
    n_cut: int


class _Cells(NamedTuple):
    """The nuclei of one field, one row each: centre, half axes, angle, brightness, texture phase."""

    y: Pixels
    x: Pixels
    a: Pixels
    b: Pixels
    angle: Pixels
    brightness: Pixels
    phase: Pixels


def expected_ratio(recipe: Recipe, column: int) -> float:
    """The reporter's nucleus/cytoplasm ratio in one column (from 0): a Hill curve over the columns."""
    dose = column / max(recipe.n_columns - 1, 1)
    response = dose**3 / (dose**3 + 0.5**3)
    low, high = RATIO_RANGE
    return float(low * (high / low) ** (response * (1 + 0.5**3)))


def render_field(
    recipe: Recipe,
    row: int,
    column: int,
    field: int,
    background: tuple[Pixels, Pixels] | None = None,
) -> tuple[NDArray[np.uint16], FieldTruth]:
    """Draw one field as (C, Y, X) uint16 counts, and say what it holds."""
    size = recipe.size_px
    random = np.random.Generator(np.random.SFC64((recipe.seed, row, column, field)))
    dark, bright = background or backgrounds(size)
    # The highest doses are a little toxic, and rows were seeded unevenly: counts vary as they do at the bench.
    survival = 1.0 - 0.35 * (column / max(recipe.n_columns - 1, 1)) ** 4
    seeding = 0.8 + 0.4 * row / max(recipe.n_rows - 1, 1)
    wanted = random.poisson(recipe.nuclei_per_megapixel * size * size / 1e6 * survival * seeding)
    cells, n_cut = _place(random, max(int(wanted), 1), size)
    nuclei, texture = _draw_nuclei(cells, size)
    ratio = expected_ratio(recipe, column)
    reporter = 0 if recipe.nuclear_channel else 1
    planes = np.empty((len(recipe.channels), size, size), dtype=np.uint16)
    for channel in range(len(recipe.channels)):
        if channel == recipe.nuclear_channel:
            signal = texture * np.float32(2600.0) + dark
        else:
            # Channels after the reporter are stains of the whole cell, which no dose moves.
            inside, outside = _levels(ratio if channel == reporter else 1.0)
            cytoplasm = _draw_cytoplasm(cells, size)
            signal = np.float32(outside) * cytoplasm * (1 - nuclei) + np.float32(inside) * nuclei + bright
        # Above twenty photons a Poisson draw is a normal one with the same variance, at a tenth of the price.
        noise = random.standard_normal((size, size), dtype=np.float32)
        noise *= np.sqrt(signal * np.float32(1 / PHOTONS_PER_COUNT) + np.float32(READ_NOISE**2))
        noise += signal
        planes[channel] = np.clip(noise, 0, 65535, out=noise)
    n_whole = len(cells.y) - n_cut
    return planes, FieldTruth(well_label(row, column), field, n_whole, n_cut)


def _place(random: np.random.Generator, wanted: int, size: int) -> tuple[_Cells, int]:
    """Scatter nuclei that keep their distance, apart from the pairs that touch on purpose."""
    low, high = RADIUS_PX
    margin = high + 3.0
    placed: list[tuple[float, float, float]] = []
    n_cut = 0
    for v, u, share, direction, chance in random.random((wanted * 30, 5)):
        if len(placed) >= wanted:
            break
        y, x, radius = v * size, u * size, low + share * (high - low)
        edge = min(y, x, size - y, size - x)
        if 0.3 * radius < edge < margin:
            continue
        known = np.asarray(placed or [(-1e3, -1e3, 0.0)])
        room = np.hypot(known[:, 0] - y, known[:, 1] - x) - known[:, 2] - radius
        if room.min() < 7.0:
            continue
        placed.append((y, x, radius))
        n_cut += int(edge <= 0.3 * radius)
        if chance < TOUCHING_SHARE and edge > 4 * high and len(placed) < wanted:
            turn = direction * 2 * math.pi
            other = (
                y + 1.9 * radius * math.sin(turn),
                x + 1.9 * radius * math.cos(turn),
            )
            room = np.hypot(known[:, 0] - other[0], known[:, 1] - other[1]) - known[:, 2] - radius
            if room.min() >= 7.0:
                placed.append((*other, radius))
    table = np.asarray(placed, dtype=np.float32)
    n = len(table)
    squeeze = random.uniform(0.8, 1.0, n).astype(np.float32)
    return (
        _Cells(
            y=table[:, 0],
            x=table[:, 1],
            a=table[:, 2],
            b=table[:, 2] * squeeze,
            angle=random.uniform(0, math.pi, n).astype(np.float32),
            brightness=random.lognormal(0.0, 0.25, n).astype(np.float32).clip(0.55, 1.8),
            phase=random.uniform(0, 2 * math.pi, n).astype(np.float32),
        ),
        n_cut,
    )


def _patches(cells: _Cells, size: int, reach: int) -> tuple[Pixels, Pixels, NDArray[np.intp], NDArray[np.bool_]]:
    """Every cell's square of pixels at once: offsets from the centre, places in the plane, which lie in it."""
    span = np.arange(-reach, reach + 1)
    y = np.round(cells.y).astype(np.intp)[:, None, None] + span[None, :, None]
    x = np.round(cells.x).astype(np.intp)[:, None, None] + span[None, None, :]
    within = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    return (
        (y - cells.y[:, None, None]).astype(np.float32),
        (x - cells.x[:, None, None]).astype(np.float32),
        np.where(within, y * size + x, 0),
        within,
    )


def _stamp(values: Pixels, places: NDArray[np.intp], within: NDArray[np.bool_], size: int) -> Pixels:
    plane = np.zeros(size * size, dtype=np.float32)
    # The brighter of two neighbours wins where they meet: cells lie side by side, not on top of one another.
    for value, place, inside in zip(values, places, within, strict=True):
        at = place[inside]
        plane[at] = np.maximum(plane[at], value[inside])
    return plane.reshape(size, size)


def _draw_nuclei(cells: _Cells, size: int) -> tuple[Pixels, Pixels]:
    """The nuclei's soft mask (0 to 1), and the same with each one's brightness and chromatin."""
    dy, dx, places, within = _patches(cells, size, int(RADIUS_PX[1]) + 5)
    cos, sin = np.cos(cells.angle)[:, None, None], np.sin(cells.angle)[:, None, None]
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    a, b = cells.a[:, None, None], cells.b[:, None, None]
    radius = np.sqrt((along / a) ** 2 + (across / b) ** 2)
    mask = (1 / (1 + np.exp(np.clip((radius - 1) * b * 1.6, -30, 30)))).astype(np.float32)
    phase = cells.phase[:, None, None]
    chromatin = 1 + 0.10 * np.sin(along * 0.55 + phase) * np.cos(across * 0.7 - phase) - 0.12 * radius**2
    shaded = (mask * cells.brightness[:, None, None] * chromatin).astype(np.float32)
    return _stamp(mask, places, within, size), _stamp(shaded, places, within, size)


def _draw_cytoplasm(cells: _Cells, size: int) -> Pixels:
    dy, dx, places, within = _patches(cells, size, int(RADIUS_PX[1] + CYTOPLASM_PX) + 5)
    phase = cells.phase[:, None, None]
    outline = cells.a[:, None, None] + CYTOPLASM_PX * (1 + 0.15 * np.sin(3 * np.arctan2(dy, dx) + phase))
    depth = np.clip(outline - np.hypot(dy, dx), -20, 20)
    mask = (1 / (1 + np.exp(-depth))).astype(np.float32)
    return _stamp(mask, places, within, size)


def _levels(ratio: float) -> tuple[float, float]:
    return REPORTER_LEVEL * math.sqrt(ratio), REPORTER_LEVEL / math.sqrt(ratio)


def measured_ratio(ratio: float) -> float:
    """The ratio as a camera sees it, whose background stands under both."""
    inside, outside = _levels(ratio)
    return (inside + BACKGROUND[1]) / (outside + BACKGROUND[1])


def backgrounds(size: int) -> tuple[Pixels, Pixels]:
    """Uneven light, one plane for the nuclei and a flatter one for the reporter."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    vignette = 1 - 0.5 * ((y - 0.5) ** 2 + (x - 0.5) ** 2)
    tilt = 1 + 0.45 * x + 0.25 * y
    return BACKGROUND[0] * tilt * vignette, BACKGROUND[1] * (1 + 0.1 * tilt) * vignette


def well_label(row: int, column: int) -> str:
    """Row and column, both from 0, as A01."""
    return f"{chr(ord('A') + row)}{column + 1:02d}"
