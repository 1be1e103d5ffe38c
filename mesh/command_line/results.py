"""A job's results, taken away: tables, heat maps, the page, and where asked the planes themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..messages.compute import JobStatus, WellStatus
from ..plates.model import Plate
from ..viewers.job_report import report_of
from ..viewers.report import ReportFiles, write_report
from .errors import CommandFailed
from .machine_form import IMAGE_KEY

PLANES = (".tif", ".tiff")


def must_have_results(job: JobStatus, folder: Path) -> None:
    """See to it that there is something to write, and where.

    Raises:
        CommandFailed: no well of the job is done yet, or the folder cannot be made.
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


def fetch_results(
    job: JobStatus, fetch: Callable[[str], WellStatus], shelf: Path, planes: Path | None
) -> tuple[JobStatus, list[Path]]:
    """The job with its tables where they stay, and the planes that were copied into ``planes``, where that is named.

    Where files were let go of to make room, they are brought back well by well, the tables onto ``shelf``.

    Raises:
        MeshError: the place that keeps the results does not hand them out now.
        OSError: a file cannot be read or written.
    """
    done = [one for one in job.wells if one.state == "done"]
    if all(map(_is_here, done)):
        return job, [] if planes is None else [path for one in done for path in _copy_planes(one, planes)]
    wells, copied = [], []
    for one in job.wells:
        if one.state == "done":
            there = one if _is_here(one) else fetch(one.well)
            if planes is not None:
                copied += _copy_planes(there, planes)
            # Kept, because what the next ones need may make this one go again.
            own = shelf / (one.well or IMAGE_KEY)
            tables = tuple(name for name in there.files if not name.endswith(PLANES))
            for name in tables:
                (own / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(there.folder, name), own / name)
            one = msgspec.structs.replace(one, folder=str(own), files=tables)  # noqa: PLW2901
        wells.append(one)
    return msgspec.structs.replace(job, wells=tuple(wells)), copied


def _is_here(one: WellStatus) -> bool:
    return all(Path(one.folder, name).exists() for name in one.files)


def write_results(job: JobStatus, plate: Plate, folder: Path, *, n_restarts: int = 0) -> ReportFiles:
    """Write the report of a job into ``folder``.

    Raises:
        CommandFailed: no well of the job is done yet, or the folder cannot be made.
        OSError: a table cannot be read, or the folder cannot be written.
    """
    must_have_results(job, folder)
    # OpenCV takes its time to load: only who wants pictures waits for it.
    from ..viewers.thumbnails import thumbnails

    return write_report(report_of(job, plate, n_restarts=n_restarts, thumbnail=thumbnails(plate)), folder)


def _copy_planes(one: WellStatus, planes: Path) -> list[Path]:
    copied = []
    for name in one.files:
        if name.endswith(PLANES):
            target = planes / (one.well or IMAGE_KEY) / name
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
