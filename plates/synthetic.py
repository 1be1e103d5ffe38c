"""A plate that no microscope made: realistic cells, a dose along the columns, and the truth to check against.

Written as MetaXpress exports it (``<plate>.HTD`` beside ``TimePoint_1``), so that what reads it
cannot tell. Nuclei are soft-edged textured ellipses, some of them touching pairs; the reporter moves from
the cytoplasm into the nucleus as the dose rises, as in a translocation assay.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import tifffile
from numpy.typing import NDArray

PIXEL_SIZE_UM = 0.65
WELL_PITCH_UM = 18_000.0
RADIUS_PX = (9.0, 14.0)
CYTOPLASM_PX = 15.0
TOUCHING_SHARE = 0.16
BACKGROUND = (220.0, 60.0)
REPORTER_LEVEL = 1000.0
RATIO_RANGE = (0.6, 6.0)
PHOTONS_PER_COUNT = 0.5
READ_NOISE = 6.0

Pixels = NDArray[np.float32]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What to generate: equal recipes give equal bytes."""

    name: str = "Demo24"
    n_rows: int = 4
    n_columns: int = 6
    n_fields: int = 2
    channels: tuple[str, ...] = ("DAPI", "GFP")
    size_px: int = 512
    nuclei_per_megapixel: float = 130.0
    seed: int = 20261120


class FieldTruth(NamedTuple):
    """What one field really holds: nuclei wholly inside, and nuclei that the border cuts."""

    well: str
    field: int
    n_nuclei: int
    n_cut: int


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What a perfect analysis would find: counts per field, the nucleus/cytoplasm ratio per well."""

    fields: tuple[FieldTruth, ...]
    ratios: dict[str, float]
    n_files: int
    n_bytes: int

    def n_nuclei(self, well: str) -> int:
        """How many whole nuclei one well holds, over its fields."""
        return sum(one.n_nuclei for one in self.fields if one.well == well)


class _Cells(NamedTuple):
    """The nuclei of one field, one row each: centre, half axes, angle, brightness, texture phase."""

    y: Pixels
    x: Pixels
    a: Pixels
    b: Pixels
    angle: Pixels
    brightness: Pixels
    phase: Pixels


def write_plate(folder: Path, recipe: Recipe | None = None) -> Truth:
    """Write the plate into ``folder`` (made where absent) and return the truth about it.

    Raises:
        ValueError: the recipe asks for no wells, fields or channels, for more than 26 rows, or for fields
            smaller than 64 pixels.
        OSError: the folder cannot be written.
    """
    recipe = recipe or Recipe()
    _check(recipe)
    images = folder / "TimePoint_1"
    images.mkdir(parents=True, exist_ok=True)
    (folder / f"{recipe.name}.HTD").write_text(
        _htd(recipe), encoding="latin-1", newline="\r\n"
    )
    background = _backgrounds(recipe.size_px)

    def write_field(place: tuple[int, int, int]) -> FieldTruth:
        row, column, field = place
        planes, truth = render_field(recipe, row, column, field, background)
        for channel, plane in enumerate(planes):
            tifffile.imwrite(
                images / f"{recipe.name}_{truth.well}_s{field}_w{channel + 1}.TIF",
                plane,
                photometric="minisblack",
                rowsperstrip=64,
                description=_metaseries(recipe, row, column, field, channel),
                software="MetaSeries",
                metadata=None,
            )
        return truth

    places = [
        (row, column, field)
        for row in range(recipe.n_rows)
        for column in range(recipe.n_columns)
        for field in range(1, recipe.n_fields + 1)
    ]
    # Drawing noise leaves the interpreter's lock: two threads halve the time on two cores.
    with ThreadPoolExecutor(max_workers=2) as pool:
        fields = tuple(pool.map(write_field, places))
    sizes = [path.stat().st_size for path in (*folder.glob("*.HTD"), *images.iterdir())]
    return Truth(
        fields=fields,
        ratios={
            _well(row, column): _measured_ratio(expected_ratio(recipe, column))
            for row in range(recipe.n_rows)
            for column in range(recipe.n_columns)
        },
        n_files=len(sizes),
        n_bytes=sum(sizes),
    )


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
    dark, bright = background or _backgrounds(size)
    # The highest doses are a little toxic, and rows were seeded unevenly: counts vary as they do at the bench.
    survival = 1.0 - 0.35 * (column / max(recipe.n_columns - 1, 1)) ** 4
    seeding = 0.8 + 0.4 * row / max(recipe.n_rows - 1, 1)
    wanted = random.poisson(
        recipe.nuclei_per_megapixel * size * size / 1e6 * survival * seeding
    )
    cells, n_cut = _place(random, max(int(wanted), 1), size)
    nuclei, texture = _draw_nuclei(cells, size)
    ratio = expected_ratio(recipe, column)
    planes = np.empty((len(recipe.channels), size, size), dtype=np.uint16)
    for channel in range(len(recipe.channels)):
        if channel == 0:
            signal = texture * np.float32(2600.0) + dark
        else:
            # Channels after the reporter are stains of the whole cell, which no dose moves.
            inside, outside = _levels(ratio if channel == 1 else 1.0)
            cytoplasm = _draw_cytoplasm(cells, size)
            signal = (
                np.float32(outside) * cytoplasm * (1 - nuclei)
                + np.float32(inside) * nuclei
                + bright
            )
        # Above twenty photons a Poisson draw is a normal one with the same variance, at a tenth of the price.
        noise = random.standard_normal((size, size), dtype=np.float32)
        noise *= np.sqrt(
            signal * np.float32(1 / PHOTONS_PER_COUNT) + np.float32(READ_NOISE**2)
        )
        noise += signal
        planes[channel] = np.clip(noise, 0, 65535, out=noise)
    n_whole = len(cells.y) - n_cut
    return planes, FieldTruth(_well(row, column), field, n_whole, n_cut)


def _place(random: np.random.Generator, wanted: int, size: int) -> tuple[_Cells, int]:
    """Scatter nuclei that keep their distance, apart from the pairs that touch on purpose."""
    low, high = RADIUS_PX
    margin = high + 3.0
    placed: list[tuple[float, float, float]] = []
    n_cut = 0
    for y, x, radius, direction, chance in random.random((wanted * 30, 5)):
        if len(placed) >= wanted:
            break
        y, x, radius = y * size, x * size, low + radius * (high - low)
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
            room = (
                np.hypot(known[:, 0] - other[0], known[:, 1] - other[1])
                - known[:, 2]
                - radius
            )
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
            brightness=random.lognormal(0.0, 0.25, n)
            .astype(np.float32)
            .clip(0.55, 1.8),
            phase=random.uniform(0, 2 * math.pi, n).astype(np.float32),
        ),
        n_cut,
    )


def _patches(
    cells: _Cells, size: int, reach: int
) -> tuple[Pixels, Pixels, NDArray[np.intp], NDArray[np.bool_]]:
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


def _stamp(
    values: Pixels, places: NDArray[np.intp], within: NDArray[np.bool_], size: int
) -> Pixels:
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
    mask = (1 / (1 + np.exp(np.clip((radius - 1) * b * 1.6, -30, 30)))).astype(
        np.float32
    )
    phase = cells.phase[:, None, None]
    chromatin = (
        1
        + 0.10 * np.sin(along * 0.55 + phase) * np.cos(across * 0.7 - phase)
        - 0.12 * radius**2
    )
    shaded = (mask * cells.brightness[:, None, None] * chromatin).astype(np.float32)
    return _stamp(mask, places, within, size), _stamp(shaded, places, within, size)


def _draw_cytoplasm(cells: _Cells, size: int) -> Pixels:
    dy, dx, places, within = _patches(cells, size, int(RADIUS_PX[1] + CYTOPLASM_PX) + 5)
    phase = cells.phase[:, None, None]
    outline = cells.a[:, None, None] + CYTOPLASM_PX * (
        1 + 0.15 * np.sin(3 * np.arctan2(dy, dx) + phase)
    )
    depth = np.clip(outline - np.hypot(dy, dx), -20, 20)
    mask = (1 / (1 + np.exp(-depth))).astype(np.float32)
    return _stamp(mask, places, within, size)


def _levels(ratio: float) -> tuple[float, float]:
    return REPORTER_LEVEL * math.sqrt(ratio), REPORTER_LEVEL / math.sqrt(ratio)


def _measured_ratio(ratio: float) -> float:
    """The ratio as a camera sees it, whose background stands under both."""
    inside, outside = _levels(ratio)
    return (inside + BACKGROUND[1]) / (outside + BACKGROUND[1])


def _backgrounds(size: int) -> tuple[Pixels, Pixels]:
    """Uneven light, one plane for the nuclei and a flatter one for the reporter."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    vignette = 1 - 0.5 * ((y - 0.5) ** 2 + (x - 0.5) ** 2)
    tilt = 1 + 0.45 * x + 0.25 * y
    return BACKGROUND[0] * tilt * vignette, BACKGROUND[1] * (1 + 0.1 * tilt) * vignette


def _well(row: int, column: int) -> str:
    return f"{chr(ord('A') + row)}{column + 1:02d}"


def _site_grid(n_fields: int) -> tuple[int, int]:
    rows = next(n for n in range(math.isqrt(n_fields), 0, -1) if n_fields % n == 0)
    return n_fields // rows, rows


def _htd(recipe: Recipe) -> str:
    x_sites, y_sites = _site_grid(recipe.n_fields)
    chosen = ", ".join(["TRUE"] * recipe.n_columns)
    lines = [
        '"HTSInfoFile", Version 1.0',
        f'"Description", "generated plate, seed {recipe.seed}"',
        '"TimePoints", 1',
        '"ZSeries", FALSE',
        '"ZSteps", 1',
        '"ZProjection", FALSE',
        f'"XWells", {recipe.n_columns}',
        f'"YWells", {recipe.n_rows}',
        *(f'"WellsSelection{row + 1}", {chosen}' for row in range(recipe.n_rows)),
        f'"Sites", {"TRUE" if recipe.n_fields > 1 else "FALSE"}',
        f'"XSites", {x_sites}',
        f'"YSites", {y_sites}',
        *(
            f'"SiteSelection{row + 1}", {", ".join(["TRUE"] * x_sites)}'
            for row in range(y_sites)
        ),
        '"Waves", TRUE',
        f'"NWavelengths", {len(recipe.channels)}',
        *(
            f'"WaveName{index + 1}", "{name}"'
            for index, name in enumerate(recipe.channels)
        ),
        *(f'"WaveCollect{index + 1}", 1' for index in range(len(recipe.channels))),
        '"EndFile"',
    ]
    return "\n".join(lines) + "\n"


def _metaseries(recipe: Recipe, row: int, column: int, field: int, channel: int) -> str:
    x_sites, _ = _site_grid(recipe.n_fields)
    site_y, site_x = divmod(field - 1, x_sites)
    pitch = recipe.size_px * PIXEL_SIZE_UM
    properties = (
        ("pixel-size-x", "int", recipe.size_px),
        ("pixel-size-y", "int", recipe.size_px),
        ("bits-per-pixel", "int", 16),
        ("spatial-calibration-state", "bool", "on"),
        ("spatial-calibration-x", "float", PIXEL_SIZE_UM),
        ("spatial-calibration-y", "float", PIXEL_SIZE_UM),
        ("spatial-calibration-units", "string", "um"),
        ("image-name", "string", recipe.channels[channel]),
        ("stage-label", "string", f"{_well(row, column)} : Site {field}"),
        ("stage-position-x", "float", f"{column * WELL_PITCH_UM + site_x * pitch:.2f}"),
        ("stage-position-y", "float", f"{row * WELL_PITCH_UM + site_y * pitch:.2f}"),
        ("z-position", "float", 0.0),
        ("_IllumSetting_", "string", recipe.channels[channel]),
    )
    inner = "".join(
        f'<prop id="{name}" type="{kind}" value="{value}"/>\n'
        for name, kind, value in properties
    )
    return (
        '<MetaData>\n<prop id="ApplicationName" type="string" value="MetaMorph"/>\n'
        f'<PlaneInfo>\n<prop id="plane-type" type="string" value="plane"/>\n{inner}</PlaneInfo>\n</MetaData>'
    )


def _check(recipe: Recipe) -> None:
    counts = (recipe.n_rows, recipe.n_columns, recipe.n_fields, len(recipe.channels))
    if min(counts) < 1 or recipe.n_rows > 26 or recipe.size_px < 64:
        raise ValueError(
            f"cannot generate {recipe.n_rows} x {recipe.n_columns} wells of {recipe.n_fields} fields and "
            f"{len(recipe.channels)} channels of {recipe.size_px} px: 1 to 26 rows, at least 64 px and one of each"
        )
