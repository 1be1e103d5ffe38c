"""The report of one job: tables, heat maps and one page that opens anywhere, from plain data alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .report_model import Measurement, Provenance, ReportJob, ReportWell, measurements_shown

__all__ = ["Measurement", "Provenance", "ReportFiles", "ReportJob", "ReportWell", "write_report"]


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
