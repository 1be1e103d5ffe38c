"""A plate that no microscope made: realistic cells, a dose along the columns, and the truth to check against.

Written as MetaXpress exports it (``<plate>.HTD`` beside ``TimePoint_1``), so that what reads it
cannot tell.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import tifffile

from .synthetic_field import FieldTruth, Recipe, backgrounds, expected_ratio, measured_ratio, render_field, well_label

__all__ = ["FieldTruth", "Recipe", "Truth", "write_plate"]

PIXEL_SIZE_UM = 0.65
WELL_PITCH_UM = 18_000.0


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What a perfect analysis would find: counts per field, the nucleus/cytoplasm ratio per well."""

    fields: tuple[FieldTruth, ...]
    ratios: dict[str, float]
    n_files: int
    n_bytes: int

    def n_nuclei(self, well: str) -> int:
        """How many whole nuclei one well holds, over its fields."""
        return sum(one.n_nuclei for one in self.fields if one.well == well)


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
    (folder / f"{recipe.name}.HTD").write_text(_htd(recipe), encoding="latin-1", newline="\r\n")
    background = backgrounds(recipe.size_px)

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
            well_label(row, column): measured_ratio(expected_ratio(recipe, column))
            for row in range(recipe.n_rows)
            for column in range(recipe.n_columns)
        },
        n_files=len(sizes),
        n_bytes=sum(sizes),
    )


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
        *(f'"SiteSelection{row + 1}", {", ".join(["TRUE"] * x_sites)}' for row in range(y_sites)),
        '"Waves", TRUE',
        f'"NWavelengths", {len(recipe.channels)}',
        *(f'"WaveName{index + 1}", "{name}"' for index, name in enumerate(recipe.channels)),
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
        ("stage-label", "string", f"{well_label(row, column)} : Site {field}"),
        ("stage-position-x", "float", f"{column * WELL_PITCH_UM + site_x * pitch:.2f}"),
        ("stage-position-y", "float", f"{row * WELL_PITCH_UM + site_y * pitch:.2f}"),
        ("z-position", "float", 0.0),
        ("_IllumSetting_", "string", recipe.channels[channel]),
    )
    inner = "".join(f'<prop id="{name}" type="{kind}" value="{value}"/>\n' for name, kind, value in properties)
    return (
        '<MetaData>\n<prop id="ApplicationName" type="string" value="MetaMorph"/>\n'
        f'<PlaneInfo>\n<prop id="plane-type" type="string" value="plane"/>\n{inner}</PlaneInfo>\n</MetaData>'
    )


def _check(recipe: Recipe) -> None:
    counts = (recipe.n_rows, recipe.n_columns, recipe.n_fields, len(recipe.channels))
    if min(counts) < 1 or recipe.n_rows > 26 or recipe.size_px < 64 or not 0 <= recipe.nuclear_channel < counts[3]:
        raise ValueError(
            f"cannot generate {recipe.n_rows} x {recipe.n_columns} wells of {recipe.n_fields} fields and "
            f"{len(recipe.channels)} channels of {recipe.size_px} px: 1 to 26 rows, at least 64 px and one of each"
        )
