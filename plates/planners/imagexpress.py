"""ImageXpress as the MetaXpress database lays it out: no .HTD, a GUID in every file name (pure).

``<plate>_<well>_s<site>_w<wavelength>[_thumb]<GUID>.tif``, below ``TimePoint_n`` and ``ZStep_n`` folders
where there are several. Checked against two real acquisitions (faim-ipa test resources).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import PlatePathError, UnreadableImage
from ..model import Plate
from ..wells import normalise_well, plate_format
from .folder import Folder, split
from .metaseries import MetaSeries, channel_names, read_metaseries
from .plan import THUMBNAIL, Fileset, LeftOut, Plan, planned_files
from .plane_table import PlaneTable

_NAME = re.compile(
    r"(?P<plate>.+?)_(?P<well>[A-Z]{1,2}\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d{1,2}))?(?P<thumb>_thumb)?"
    r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\.tiff?",
    re.ASCII | re.IGNORECASE,
)
_STEP = re.compile(r"(?:(?P<above>.*)/)?(?P<step>TimePoint|ZStep)_(?P<number>\d+)", re.ASCII | re.IGNORECASE)


class Steps(NamedTuple):
    """A folder with its ``TimePoint_n`` and ``ZStep_n`` endings taken off; 1-based, None where absent."""

    folder: str
    time_point: int | None
    z_step: int | None


class _File(NamedTuple):
    path: str
    well: str
    site: int
    wave: int
    steps: Steps


def steps_of(folder: str) -> Steps:
    """Take the time point and z step off a folder's path."""
    found: dict[str, int | None] = {"zstep": None, "timepoint": None}
    while (match := _STEP.fullmatch(folder)) and found[match["step"].lower()] is None:
        found[match["step"].lower()] = int(match["number"])
        folder = match["above"] or ""
    return Steps(folder, found["timepoint"], found["zstep"])


def plan_imagexpress(folder: Folder) -> Plan:
    """One fileset for each folder and plate name; thumbnails stay behind.

    Raises:
        DuplicatePlane: two files are the same plane.
    """
    groups: dict[tuple[str, str], list[_File]] = {}
    thumbs: list[str] = []
    for path in folder.files:
        above, name = split(path)
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        try:
            well = normalise_well(match["well"])
        except PlatePathError:
            continue
        steps = steps_of(above)
        key = (steps.folder, match["plate"])
        if match["thumb"]:
            thumbs.append(path)
        else:
            file = _File(path, well, int(match["site"] or 1), int(match["wave"] or 1), steps)
            groups.setdefault(key, []).append(file)
    return Plan(
        filesets=tuple(
            Fileset(
                planner="imagexpress",
                root=key[0],
                files=planned_files(folder, (file.path for file in files)),
                plates=(_plate(folder, key[1], files),),
            )
            for key, files in groups.items()
        ),
        left_out=tuple(LeftOut(path, THUMBNAIL) for path in thumbs),
    )


def _plate(folder: Folder, name: str, files: list[_File]) -> Plate:
    # Where there are ZStep folders, single planes lie in ZStep_1 too: a file beside them is a projection.
    stacked = any(file.steps.z_step is not None for file in files)
    waves = sorted({file.wave for file in files})
    table = PlaneTable(folder)
    for file in files:
        projected = file.steps.z_step == 0 or (stacked and file.steps.z_step is None)
        table.claim(
            file.well,
            file.path,
            field=file.site,
            c=waves.index(file.wave),
            z=0 if projected else (file.steps.z_step or 1) - 1,
            t=(file.steps.time_point or 1) - 1,
            kind="projection" if projected else "plane",
        )
    described = [describe(folder, table.first_file(c)) for c in range(len(waves))]
    n_rows, n_columns = plate_format(file.well for file in files)
    notes = [f"plate format {n_rows} x {n_columns} is the smallest usual one: this layout does not write it"]
    return table.plate(
        name=name,
        n_rows=n_rows,
        n_columns=n_columns,
        channels=channel_names({wave: one.channel for wave, one in zip(waves, described, strict=True)}),
        pixel_size_um=next((one.pixel_size_um for one in described if one.pixel_size_um), None),
        notes=notes,
    )


def describe(folder: Folder, file: str | None) -> MetaSeries:
    """What the description of a file says; nothing where the file cannot be read."""
    if file is None:
        return MetaSeries()
    try:
        return read_metaseries(folder.tiff(file).description)
    except UnreadableImage:
        return MetaSeries()
