"""MetaXpress exports: an .HTD file says what was acquired, copies of it lie in every folder below (pure)."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..errors import MetadataError, PlatePathError
from ..model import ImageKind, Missing, Plate
from ..wells import normalise_well, well_label
from .folder import Folder, join, split, stem
from .imagexpress import Steps, describe, steps_of
from .metaseries import channel_names
from .plan import THUMBNAIL, Fileset, LeftOut, Plan, planned_files
from .plane_table import PlaneKey, PlaneTable

_NAME = re.compile(
    r"(?P<stem>.+?)_(?P<well>[A-Z]{1,2}\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d{1,2}?))?(?P<thumb>_thumb)?"
    r"(?:[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})?\.tiff?",
    re.ASCII | re.IGNORECASE,
)


class Htd(NamedTuple):
    """What an .HTD file declares; ``sites`` are the numbers that its selected positions may bear."""

    n_rows: int
    n_columns: int
    wells: tuple[str, ...]
    n_selected_sites: int
    selected_positions: tuple[int, ...]
    waves: Mapping[int, str]
    n_z: int
    n_t: int


class _File(NamedTuple):
    path: str
    well: str
    site: int
    wave: int
    steps: Steps
    name: str


def parse_htd(text: str) -> Htd:
    """Read the text of an .HTD file, which is Latin-1.

    Raises:
        ValueError: it is not one, or a count in it is no number.
    """
    values: dict[str, list[str]] = {}
    for row in csv.reader(io.StringIO(text, newline=""), skipinitialspace=True):
        if row:
            values[row[0].strip()] = [value.strip() for value in row[1:]]
    if "HTSInfoFile" not in values or "XWells" not in values or "YWells" not in values:
        raise ValueError("it has no HTSInfoFile header or no plate size")

    def number(key: str, default: int = 1) -> int:
        return int(values[key][0]) if values.get(key) else default

    def flags(key: str, n: int) -> Iterator[list[bool]]:
        for index in range(1, n + 1):
            yield [value.upper() == "TRUE" for value in values.get(f"{key}{index}", ())]

    n_rows, n_columns = number("YWells"), number("XWells")
    if not (1 <= n_rows <= 64 and 1 <= n_columns <= 96):
        raise ValueError(f"a plate of {n_rows} x {n_columns} wells is not possible")
    wells = tuple(
        well_label(row, column)
        for row, chosen in enumerate(flags("WellsSelection", n_rows))
        for column, selected in enumerate(chosen)
        if selected
    )
    sites = [flag for line in flags("SiteSelection", number("YSites")) for flag in line]
    if values.get("Sites", ["FALSE"])[0].upper() != "TRUE" or not any(sites):
        sites = [True]
    n_waves = number("NWavelengths")
    waves = {
        wave: (values.get(f"WaveName{wave}") or [""])[0]
        for wave in range(1, n_waves + 1)
        if (values.get(f"WaveCollect{wave}") or ["1"])[0] != "0"
    }
    stacked = values.get("ZSeries", ["FALSE"])[0].upper() == "TRUE"
    return Htd(
        n_rows,
        n_columns,
        wells,
        sum(sites),
        tuple(index for index, flag in enumerate(sites, 1) if flag),
        waves,
        max(1, number("ZSteps")) if stacked else 1,
        max(1, number("TimePoints")),
    )


def plan_metaxpress(folder: Folder) -> Plan:
    """One fileset for each folder with an .HTD, however many copies of it lie below.

    Raises:
        MetadataError: an .HTD cannot be made sense of.
        DuplicatePlane: two files are the same plane.
    """
    htds: dict[str, list[str]] = {}
    for path in folder.files:
        if path.lower().endswith(".htd"):
            htds.setdefault(steps_of(split(path)[0]).folder, []).append(path)
    images: dict[str, list[_File]] = {root: [] for root in htds}
    thumbs: list[str] = []
    for path in folder.files if htds else ():
        above, name = split(path)
        steps = steps_of(above)
        match = _NAME.fullmatch(name) if steps.folder in htds else None
        if match is None:
            continue
        try:
            well = normalise_well(match["well"])
        except PlatePathError:
            continue
        if match["thumb"]:
            thumbs.append(path)
        else:
            file = _File(path, well, int(match["site"] or 1), int(match["wave"] or 1), steps, name)
            images[steps.folder].append(file)
    return Plan(
        filesets=tuple(
            Fileset(
                planner="metaxpress",
                root=root,
                files=planned_files(folder, [*paths, *(file.path for file in images[root])]),
                plates=(_plate(folder, root, paths, images[root]),),
            )
            for root, paths in htds.items()
        ),
        left_out=tuple(LeftOut(path, THUMBNAIL) for path in thumbs),
    )


def _plate(folder: Folder, root: str, htds: list[str], files: list[_File]) -> Plate:
    source = min(htds, key=lambda path: (path.count("/"), path))
    try:
        htd = parse_htd(folder.text(source, "latin-1"))
    except (ValueError, csv.Error) as error:
        raise MetadataError(
            f"{source} is not a MetaXpress .HTD file: {error}",
            hint="Export the plate again, or move the .HTD away and give a --pattern.",
        ) from error
    waves = dict(htd.waves) | {file.wave: "" for file in files if file.wave not in htd.waves}
    numbers = sorted(waves)
    stacked = any(file.steps.z_step is not None for file in files)
    table = PlaneTable(folder)
    for file in files:
        projected = file.steps.z_step == 0 or (stacked and file.steps.z_step is None)
        table.claim(
            file.well,
            file.path,
            field=file.site,
            c=numbers.index(file.wave),
            z=0 if projected else (file.steps.z_step or 1) - 1,
            t=(file.steps.time_point or 1) - 1,
            kind="projection" if projected else "plane",
        )
    for missing in _missing(htd, table, files, root, stem(source), waves):
        table.miss(missing)
    return table.plate(
        name=_name(folder, root, stem(source)),
        n_rows=htd.n_rows,
        n_columns=htd.n_columns,
        channels=channel_names(waves),
        pixel_size_um=describe(folder, table.first_file(0)).pixel_size_um,
    )


def _name(folder: Folder, root: str, htd: str) -> str:
    # Exports of several plates bear one .HTD name and are told apart by their folders: 9987_Plate_3420.
    own = posixpath.basename(root) or folder.name
    return own if own.lower().startswith(htd.lower()) else htd


def _missing(
    htd: Htd, table: PlaneTable, files: list[_File], root: str, name: str, waves: Mapping[int, str]
) -> Iterator[Missing]:
    """What the .HTD declares and no file holds."""
    keys = table.keys
    found_sites = {file.site for file in files}
    sites: tuple[int, ...] = tuple(range(1, htd.n_selected_sites + 1))
    # Some versions count the selected sites alone, others all positions: the files show which.
    if not found_sites <= set(sites) and found_sites <= set(htd.selected_positions):
        sites = htd.selected_positions
    numbers = sorted(waves)
    # The .HTD has one number of z steps for all channels: the files of a channel show whether it is a stack.
    for wave in htd.waves:
        c = numbers.index(wave)
        depth = {key.z for key in keys if key.c == c and key.kind == "plane"}
        expected: list[tuple[ImageKind, int]] = []
        if len(depth) > 1 or not any(key.c == c for key in keys):
            expected = [("plane", z) for z in range(htd.n_z)]
        elif depth:
            expected = [("plane", min(depth))]
        if any(key.c == c and key.kind == "projection" for key in keys):
            expected.append(("projection", 0))
        for well in htd.wells:
            for site in sites:
                for t in range(htd.n_t):
                    for kind, z in expected:
                        if PlaneKey(well, site, t, c, kind, z) not in keys:
                            step = 0 if kind == "projection" else z + 1
                            site_part = f"_s{site}" if htd.n_selected_sites > 1 else ""
                            wave_part = f"_w{wave}" if len(waves) > 1 else ""
                            step_part = f"ZStep_{step}/" if htd.n_z > 1 else ""
                            path = f"TimePoint_{t + 1}/{step_part}{name}_{well}{site_part}{wave_part}.TIF"
                            file = join(root, path) or path
                            yield Missing(well=well, field=site, c=c, z=z, t=t, file=file, kind=kind)
