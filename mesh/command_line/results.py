"""A job's results, taken away: tables, heat maps, the page, and where asked the planes themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..messages.compute import JobStatus
from ..plates.model import Plate
from ..viewers.job_report import report_of
from ..viewers.report import ReportFiles, write_report
from .errors import CommandFailed
from .machine_form import IMAGE_KEY


def write_results(job: JobStatus, plate: Plate, folder: Path, *, n_restarts: int = 0) -> ReportFiles:
    """Write the report of a job into ``folder``.

    Raises:
        CommandFailed: no well of the job is done yet, or the folder cannot be made.
        OSError: a table cannot be read, or the folder cannot be written.
    """
    if not any(one.state == "done" for one in job.wells):
        raise CommandFailed(
            f"{job.job} is {job.state} and has no finished well: there are no results to write",
            hint=f"hcs-mesh jobs {job.job} shows its wells",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(
            f"{folder} cannot be a folder: {error.strerror}", hint="choose another with --out, or make room for it"
        ) from error
    # OpenCV takes its time to load: only who wants pictures waits for it.
    from ..viewers.thumbnails import thumbnails

    return write_report(report_of(job, plate, n_restarts=n_restarts, thumbnail=thumbnails(plate)), folder)


def copy_planes(job: JobStatus, folder: Path) -> list[Path]:
    """Copy the label and processed planes of every finished well into ``folder/planes``.

    Raises:
        OSError: a plane cannot be read, or the folder cannot be written.
    """
    copied = []
    for one in job.wells:
        for name in one.files:
            if one.state == "done" and name.endswith((".tif", ".tiff")):
                target = folder / "planes" / (one.well or IMAGE_KEY) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(one.folder, name), target)
                copied.append(target)
    return copied


def results_form(job: JobStatus, files: ReportFiles, planes: list[Path]) -> dict[str, object]:
    """Where everything lies, for machines."""
    return {
        "job": job.job,
        "state": job.state,
        "report": str(files.page),
        "wells": str(files.wells),
        "objects": str(files.objects),
        "heat_maps": [str(path) for path in files.heat_maps],
        "planes": [str(path) for path in planes],
    }
