"""The report's tables as CSV (RFC 4180): what a statistician reads, and reads back unchanged."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from ..config.errors import MeshError
from .report_model import Measurement, ReportJob, well_value


class UnequalColumns(MeshError, ValueError):
    """The columns of a table differ in length, so that its rows have no meaning."""


def wells_csv(job: ReportJob, measurements: Sequence[Measurement]) -> str:
    """One line a well; a number that was not measured is empty."""
    names = [one.name for one in measurements]
    header = ["well", "state", *names, "attempts", "duration_s", "reason"]
    return _table(
        header,
        (
            [
                one.well,
                one.state,
                *(well_value(one, name) for name in names),
                one.attempts,
                one.duration_s,
                one.reason,
            ]
            for one in job.wells
        ),
    )


def objects_csv(job: ReportJob) -> str:
    """One line an object below the columns' names; empty where no well has a table.

    Raises:
        UnequalColumns: the columns differ in length.
    """
    columns = [column.tolist() if isinstance(column, np.ndarray) else list(column) for column in job.objects.values()]
    lengths = {name: len(column) for name, column in zip(job.objects, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UnequalColumns(
            f"the object table of job {job.job} has columns of different length: {told}",
            hint="Give every object a value in every column; None stands for a missing one.",
        )
    return _table(list(job.objects), zip(*columns, strict=True)) if columns else ""


def _table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO(newline="")
    # Floats are written by repr: every bit comes back.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
