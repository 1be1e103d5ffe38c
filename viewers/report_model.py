"""What a report shows of one job: plain data, whoever fills it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
