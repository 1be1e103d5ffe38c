"""Files of an ImageXpress microscope: what their names and folders say, in whichever of its two layouts (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import PlatePathError
from ..wells import normalise_well
from .folder import split
from .plane_table import PlaneTable

_STEP = re.compile(r"(?:(?P<above>.*)/)?(?P<step>TimePoint|ZStep)_(?P<number>\d+)", re.ASCII | re.IGNORECASE)


class Steps(NamedTuple):
    """A folder with its ``TimePoint_n`` and ``ZStep_n`` endings taken off; 1-based, None where absent."""

    folder: str
    time_point: int | None
    z_step: int | None


class AcquiredFile(NamedTuple):
    """One image by its name: which plate, well, site and wavelength it is of, and whether it is a thumbnail alone."""

    path: str
    plate: str
    well: str
    site: int
    wave: int
    is_thumbnail: bool
    steps: Steps


def steps_of(folder: str) -> Steps:
    """Take the time point and z step off a folder's path."""
    found: dict[str, int | None] = {"zstep": None, "timepoint": None}
    while (match := _STEP.fullmatch(folder)) and found[match["step"].lower()] is None:
        found[match["step"].lower()] = int(match["number"])
        folder = match["above"] or ""
    return Steps(folder, found["timepoint"], found["zstep"])


def acquired_files(paths: Iterable[str], name: re.Pattern[str]) -> Iterable[AcquiredFile]:
    """The images among these files, whose names have the groups plate, well, site, wave and thumb."""
    for path in paths:
        folder, file = split(path)
        match = name.fullmatch(file)
        if match is None:
            continue
        try:
            well = normalise_well(match["well"])
        except PlatePathError:
            continue
        yield AcquiredFile(
            path,
            match["plate"],
            well,
            int(match["site"] or 1),
            int(match["wave"] or 1),
            match["thumb"] is not None,
            steps_of(folder),
        )


def claim_files(table: PlaneTable, files: Sequence[AcquiredFile], waves: Sequence[int]) -> None:
    """Claim for each file the plane that it is; channels are numbered in the order of ``waves``.

    Raises:
        DuplicatePlane: two files are the same plane.
    """
    # Where there are ZStep folders, single planes lie in ZStep_1 too: a file beside them is a projection.
    stacked = any(file.steps.z_step is not None for file in files)
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
