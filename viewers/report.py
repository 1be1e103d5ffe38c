"""The report of one job: tables, heat maps and one page that opens anywhere, from plain data alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

COUNT = "n_objects"


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One number that every well has: its name in ``ReportWell.measurements``, its unit and what it means."""

    name: str
    unit: str = ""
    meaning: str = ""


class ReportWell(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one well. ``well`` is written A01, and is empty for an image that lies on no plate."""

    well: str
    state: str = "done"
    n_objects: int | None = None
    measurements: Mapping[str, float] = {}
    reason: str = ""
    attempts: int = 1
    duration_s: float | None = None
    thumbnail_png: bytes = b""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """How the numbers came about: enough to repeat them, and to trust them after a fault."""

    versions: Mapping[str, str] = {}
    started: str = ""
    finished: str = ""
    duration_s: float | None = None
    n_restarts: int = 0
    faults: tuple[str, ...] = ()


class ReportJob(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the report shows. ``objects`` are columns of equal length, one row an object.

    Without ``n_rows`` and ``n_columns`` the plate is taken to be the smallest standard one that holds the wells.
    """

    job: str
    plate: str
    state: str = "done"
    plate_id: int | None = None
    n_rows: int = 0
    n_columns: int = 0
    wells: tuple[ReportWell, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    objects: Mapping[str, Iterable[object]] = {}
    pipeline: str = ""
    pipeline_source: str = ""
    provenance: Provenance = Provenance()
    notes: tuple[str, ...] = ()


class ReportFiles(NamedTuple):
    """Where the report's parts lie."""

    page: Path
    wells: Path
    objects: Path
    heat_maps: tuple[Path, ...]


def write_report(job: ReportJob, folder: Path) -> ReportFiles:
    """Write tables, heat maps and the page into ``folder``; each file appears whole or not at all.

    Raises:
        UnequalColumns: the columns of the object table differ in length.
        OSError: the folder cannot be written.
    """
    # Drawing takes a third of a second to import: whoever only fills a ReportJob does not pay for it.
    from .heat_map import draw_heat_map
    from .report_page import render_page
    from .report_tables import objects_csv, wells_csv

    folder.mkdir(parents=True, exist_ok=True)
    shown = measurements_shown(job)
    pictures = {one.name: draw_heat_map(job, one) for one in shown}
    pictures = {name: picture for name, picture in pictures.items() if picture}
    heat_maps = []
    for name, file_name in _file_names(pictures).items():
        heat_maps.append(_publish(folder / file_name, pictures[name]))
    wells = _publish(folder / "wells.csv", wells_csv(job, shown).encode())
    objects = _publish(folder / "objects.csv", objects_csv(job).encode())
    # The page comes last: whoever sees it finds the rest beside it.
    page = _publish(folder / "report.html", render_page(job, shown, pictures).encode())
    return ReportFiles(page, wells, objects, tuple(heat_maps))


def measurements_shown(job: ReportJob) -> tuple[Measurement, ...]:
    """The count first, then what the job declares, then whatever else its wells carry."""
    declared = {one.name: one for one in job.measurements}
    count = declared.pop(
        COUNT,
        Measurement(name=COUNT, meaning="Objects found in the well."),
    )
    carried = dict.fromkeys(name for well in job.wells for name in well.measurements)
    rest = (Measurement(name=name) for name in carried if name not in declared and name != COUNT)
    return (count, *declared.values(), *rest)


def well_value(well: ReportWell, name: str) -> float | None:
    """One number of one well, None where it has none."""
    value = well.measurements.get(name)
    return well.n_objects if value is None and name == COUNT else value


def _file_names(names: Iterable[str]) -> dict[str, str]:
    """A file name for each measurement: readable, safe on every system, no two alike."""
    chosen: dict[str, str] = {}
    for name in names:
        stem = "heatmap_" + (re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60].lower() or "measurement")
        taken = set(chosen.values())
        number = 1
        while (file_name := f"{stem}.png" if number == 1 else f"{stem}_{number}.png") in taken:
            number += 1
        chosen[name] = file_name
    return chosen


def _publish(path: Path, content: bytes) -> Path:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
