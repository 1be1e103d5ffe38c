"""What a planner answers is held against what any plate can be, whoever wrote the planner and the metadata (pure)."""

from __future__ import annotations

import math

import msgspec

from ..errors import MetadataError, PlannerFailed, PlatePathError
from ..model import Plate
from ..wells import MAX_COLUMNS, MAX_ROWS, well_position
from .named_missing import with_few_named
from .plan import Fileset


def sound(fileset: Fileset) -> Fileset:
    """A fileset whose plates hold nothing that no plate has; wells beyond the size that is declared widen the plate.

    Raises:
        MetadataError: a plate's size, its number of wells, a well's place or the size of a pixel is none.
        PlannerFailed: a plate's image lies in a file that the fileset leaves behind.
    """
    plates = tuple(_sound_plate(plate) for plate in fileset.plates)
    _refuse_left_behind(fileset)
    return fileset if plates == fileset.plates else msgspec.structs.replace(fileset, plates=plates)


def _sound_plate(plate: Plate) -> Plate:
    for what, n, most in (("rows", plate.n_rows, MAX_ROWS), ("columns", plate.n_columns, MAX_COLUMNS)):
        if not 0 <= n <= most:
            raise MetadataError(f"plate {plate.name} would have {n:,} {what}, which no plate has")
    size = plate.pixel_size_um
    if size is not None and not (math.isfinite(size) and size > 0):
        raise MetadataError(f"a pixel of plate {plate.name} would be {size:g} um wide")
    labels = {*plate.wells, *(one.well for one in plate.missing)}
    if len(labels) > MAX_ROWS * MAX_COLUMNS:
        raise MetadataError(f"plate {plate.name} would have {len(labels):,} wells, which no plate has")
    plate = with_few_named(plate)
    if not plate.n_rows or not plate.n_columns:
        # Without a declared size it is as large as its wells say, elsewhere.
        return plate
    places = [place for label in labels if (place := _place(label)) is not None]
    n_rows = max((plate.n_rows, *(row + 1 for row, _ in places)))
    n_columns = max((plate.n_columns, *(column + 1 for _, column in places)))
    if (n_rows, n_columns) == (plate.n_rows, plate.n_columns):
        return plate
    declared = f"{plate.n_rows} x {plate.n_columns} wells"
    note = f"{declared} are declared, and images lie up to row {n_rows} and column {n_columns}"
    return msgspec.structs.replace(plate, n_rows=n_rows, n_columns=n_columns, notes=(*plate.notes, note))


def _place(label: str) -> tuple[int, int] | None:
    try:
        return well_position(label)
    except PlatePathError:
        # Planes that lie in no well.
        return None


def _refuse_left_behind(fileset: Fileset) -> None:
    files = {file.path for file in fileset.files}
    absent = {file: plate.name for plate in fileset.plates for file in plate.files if file not in files}
    if not absent:
        return
    # An image of a hierarchy is a folder of files.
    folders = {path[:at] for path in files for at, sign in enumerate(path) if sign == "/"}
    for file, name in absent.items():
        if file.rstrip("/") not in folders:
            raise PlannerFailed(
                f"plate {name} has an image in {file}, which is not among the {len(files)} files of its fileset",
                hint=f"The planner '{fileset.planner}' names it and leaves it behind: repair the planner.",
            )
