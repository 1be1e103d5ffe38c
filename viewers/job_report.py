"""From what the mesh says of a job, and the files of its wells, to what the report shows."""

from __future__ import annotations

import csv
import platform
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..messages.compute import JobStatus, WellStatus
from ..plates.model import Plate
from .report_model import Measurement, Provenance, ReportJob, ReportWell

LIBRARIES = ("hcs-mesh", "numpy", "opencv-python-headless", "tifffile")


def report_of(
    job: JobStatus,
    plate: Plate,
    *,
    n_restarts: int = 0,
    measurements: tuple[Measurement, ...] = (),
    thumbnail: Callable[[str], bytes] | None = None,
) -> ReportJob:
    """The report of a job, with the objects of every well that is done; ``thumbnail`` draws one well as PNG.

    Raises:
        OSError: a table of a finished well cannot be read.
    """
    began, ended = job.submitted_at_unix_s, job.finished_at_unix_s
    return ReportJob(
        job=job.job,
        plate=plate.name,
        plate_id=plate.id,
        state=job.state,
        n_rows=plate.n_rows,
        n_columns=plate.n_columns,
        wells=tuple(_well(one, thumbnail) for one in job.wells),
        measurements=measurements,
        objects=_objects(job),
        pipeline=job.source_name or job.pipeline,
        pipeline_source=job.source,
        provenance=Provenance(
            versions=_versions(),
            started=_moment(began),
            finished=_moment(ended),
            duration_s=ended - began if began and ended else None,
            n_restarts=n_restarts,
            faults=job.faults,
        ),
        notes=(
            *((job.reason,) if job.reason else ()),
            *plate.notes,
            *(f"{one.well}: {note}" for one in job.wells for note in one.notes),
        ),
    )


def _well(one: WellStatus, thumbnail: Callable[[str], bytes] | None) -> ReportWell:
    done = one.state == "done"
    return ReportWell(
        well=one.well,
        state=one.state,
        n_objects=one.n_objects if done else None,
        measurements=dict(one.measurements),
        reason=one.error or "; ".join(one.notes),
        attempts=one.attempts,
        duration_s=one.duration_s if done else None,
        thumbnail_png=thumbnail(one.well) if thumbnail and done else b"",
    )


def _objects(job: JobStatus) -> dict[str, list[str]]:
    """One row an object of every table, under the columns of all of them; numbers stay as they were written.

    A table without a row still gives its columns: nothing found is a result too.
    """
    rows: list[tuple[str, Mapping[str, str]]] = []
    columns: dict[str, None] = {}
    tables: set[str] = set()
    for path in _tables(job):
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            tables.add(path.stem)
            columns |= dict.fromkeys(reader.fieldnames or ())
            rows.extend((path.stem, row) for row in reader)
    objects = {name: [row.get(name, "") for _, row in rows] for name in columns}
    return objects if len(tables) < 2 else {"table": [table for table, _ in rows], **objects}


def _tables(job: JobStatus) -> Iterator[Path]:
    for one in job.wells:
        if one.state == "done" and one.folder:
            yield from (Path(one.folder, name) for name in one.files if name.endswith(".csv"))


def _versions() -> dict[str, str]:
    known = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return known


def _moment(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S} UTC" if unix_s else ""
