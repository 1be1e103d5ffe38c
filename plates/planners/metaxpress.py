"""MetaXpress exports: an .HTD file says what was acquired, copies of it lie in every folder below (pure)."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from ..errors import MetadataError, StillOpen
from ..model import ImageKind, Missing, Plate
from ..wells import well_label
from .acquired_files import AcquiredFile, acquired_files, claim_files, steps_of
from .folder import Folder, is_settled, join, split, stem
from .metaseries import channel_names, describe
from .plan import THUMBNAIL, Fileset, LeftOut, Plan, planned_files, still_due
from .plane_table import PlaneKey, PlaneTable

_END = '"EndFile"'
# A day of time points of a whole plate is below; a number of twenty digits is a damaged file, not a large plate.
_MAX_IMAGES = 2_000_000
_NAME = re.compile(
    r"(?P<plate>.+?)_(?P<well>[A-Z]{1,2}\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d{1,2}?))?(?P<thumb>_thumb)?"
    r"(?:[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})?\.tiff?",
    re.ASCII | re.IGNORECASE,
)


class Htd(NamedTuple):
    """What an .HTD file declares; ``is_closed`` where its last line stands.

    ``misleads`` is set where Bio-Formats (tried: 7.3.1) fails over its counts, taking them at their word: none of
    z steps, time points or wavelengths, or z steps where it says itself that there is no stack.
    """

    n_rows: int
    n_columns: int
    wells: tuple[str, ...]
    n_selected_sites: int
    selected_positions: tuple[int, ...]
    waves: Mapping[int, str]
    n_z: int
    n_t: int
    is_closed: bool
    misleads: bool = False


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
        count = int(values[key][0]) if values.get(key) else default
        if count > _MAX_IMAGES:
            raise ValueError(f"{key} is {count}, which is not possible")
        return count

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
    n_z, n_t = max(1, number("ZSteps")) if stacked else 1, max(1, number("TimePoints"))
    n_images = len(wells) * sum(sites) * len(waves) * n_z * n_t
    if n_images > _MAX_IMAGES:
        raise ValueError(
            f"{n_z} z steps and {n_t} time points of {len(wells)} wells are {n_images:,} images, "
            f"and a plate has at most {_MAX_IMAGES:,}"
        )
    return Htd(
        n_rows,
        n_columns,
        wells,
        sum(sites),
        tuple(index for index, flag in enumerate(sites, 1) if flag),
        waves,
        n_z,
        n_t,
        _END.strip('"') in values,
        _misleads(values, stacked=stacked),
    )


def _misleads(values: Mapping[str, Sequence[str]], *, stacked: bool) -> bool:
    try:
        counts = [int(values[key][0]) for key in ("ZSteps", "TimePoints", "NWavelengths") if values.get(key)]
        return min(counts, default=1) < 1 or (not stacked and int((values.get("ZSteps") or ["1"])[0]) > 1)
    except ValueError:
        # Of a count that nothing is made of here.
        return True


def plan_metaxpress(folder: Folder) -> Plan:
    """One fileset for each folder with an .HTD, however many copies of it lie below.

    Raises:
        StillOpen: an .HTD ends before its last line.
        MetadataError: an .HTD cannot be made sense of.
        DuplicatePlane: two files are the same plane.
    """
    htds: dict[str, list[str]] = {}
    for path in folder.files:
        if path.lower().endswith(".htd"):
            htds.setdefault(steps_of(split(path)[0]).folder, []).append(path)
    images: dict[str, list[AcquiredFile]] = {root: [] for root in htds}
    thumbs: list[str] = []
    for file in acquired_files(folder.files, _NAME) if htds else ():
        if file.steps.folder not in htds:
            continue
        if file.is_thumbnail:
            thumbs.append(file.path)
        else:
            images[file.steps.folder].append(file)
    filesets: list[Fileset] = []
    pending: list[str] = []
    for root, paths in htds.items():
        plate, htd, unended, due = _plate(folder, root, paths, images[root])
        filesets.append(
            Fileset(
                planner="metaxpress",
                root=root,
                files=planned_files(folder, [*paths, *(file.path for file in images[root])]),
                plates=(plate,),
                unended=unended,
                misleads=htd.misleads,
            )
        )
        pending += (*unended, *due)
    return Plan(
        filesets=tuple(filesets),
        left_out=tuple(LeftOut(path, THUMBNAIL) for path in thumbs),
        pending=tuple(pending),
    )


def _plate(
    folder: Folder, root: str, htds: list[str], files: list[AcquiredFile]
) -> tuple[Plate, Htd, tuple[str, ...], tuple[str, ...]]:
    """The plate, its .HTD, whether the last line of that is not there, and why else to wait for more."""
    source = min(htds, key=lambda path: (path.count("/"), path))
    htd = _read(folder, source)
    waves = dict(htd.waves) | {file.wave: "" for file in files if file.wave not in htd.waves}
    numbers = sorted(waves)
    table = PlaneTable(folder)
    claim_files(table, files, numbers)
    once = _taken_once(htd, table, numbers)
    n_due = n_there = 0
    keys = table.keys
    for expected in _declared(htd, table, files, root, stem(source), numbers, once):
        n_due += 1
        if PlaneKey(expected.well, expected.field, expected.t, expected.c, expected.kind, expected.z) in keys:
            n_there += 1
        else:
            n_there += is_settled(folder, expected.file)
            table.miss(expected)
    plate = table.plate(
        name=_name(folder, root, stem(source)),
        n_rows=htd.n_rows,
        n_columns=htd.n_columns,
        channels=channel_names(waves),
        pixel_size_um=describe(folder, table.first_file(0)).pixel_size_um,
        notes=[f"w{wave} {waves[wave]} was taken at the first of {htd.n_t} time points alone" for wave in once],
    )
    return plate, htd, _unfinished(htd, source), still_due(source, n_due, n_there)


def _read(folder: Folder, source: str) -> Htd:
    text = folder.text(source, "latin-1")
    try:
        return parse_htd(text)
    except (ValueError, csv.Error) as error:
        if not text.strip("\0 \r\n") or (text.startswith('"HTSInfoFile"') and _END not in text):
            raise StillOpen(f"{source} ends before its line {_END}: {error}", hint="Has the copy finished?") from error
        raise MetadataError(
            f"{source} is not a MetaXpress .HTD file: {error}",
            hint="Export the plate again, or move the .HTD away and give a --pattern.",
        ) from error


def _unfinished(htd: Htd, source: str) -> tuple[str, ...]:
    return () if htd.is_closed else (f"{source} has no line {_END} yet",)


def _taken_once(htd: Htd, table: PlaneTable, numbers: Sequence[int]) -> tuple[int, ...]:
    """The wavelengths that were taken at the first time point alone, while another went on to the last."""
    n_at = Counter((key.c, key.t) for key in table.keys)
    seen = {c: {t for channel, t in n_at if channel == c} for c in range(len(numbers))}
    # Whole at both ends: a time point that is being taken has not shown yet which wavelengths it holds.
    if htd.n_t == 1 or not any(n_at[c, htd.n_t - 1] == n_at[c, 0] > 0 for c in seen):
        return ()
    return tuple(wave for c, wave in enumerate(numbers) if seen[c] == {0})


def _name(folder: Folder, root: str, htd: str) -> str:
    # Exports of several plates bear one .HTD name and are told apart by their folders: 9987_Plate_3420.
    own = posixpath.basename(root) or folder.name
    return own if own.lower().startswith(htd.lower()) else htd


def _declared(
    htd: Htd,
    table: PlaneTable,
    files: Sequence[AcquiredFile],
    root: str,
    name: str,
    numbers: Sequence[int],
    once: Sequence[int],
) -> Iterator[Missing]:
    """Every image that the .HTD declares, with the file that would hold it."""
    keys = table.keys
    found_sites = {file.site for file in files}
    sites: tuple[int, ...] = tuple(range(1, htd.n_selected_sites + 1))
    # Some versions count the selected sites alone, others all positions: the files show which.
    if not found_sites <= set(sites) and found_sites <= set(htd.selected_positions):
        sites = htd.selected_positions
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
        times = 1 if wave in once else htd.n_t
        for well, site, t, (kind, z) in product(htd.wells, sites, range(times), expected):
            step = 0 if kind == "projection" else z + 1
            site_part = f"_s{site}" if htd.n_selected_sites > 1 else ""
            wave_part = f"_w{wave}" if len(numbers) > 1 else ""
            step_part = f"ZStep_{step}/" if htd.n_z > 1 else ""
            path = f"TimePoint_{t + 1}/{step_part}{name}_{well}{site_part}{wave_part}.TIF"
            yield Missing(well=well, field=site, c=c, z=z, t=t, file=join(root, path) or path, kind=kind)
