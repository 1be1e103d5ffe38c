"""The record of a well's result: made before anything of it is written, and complete once all of it is."""

from __future__ import annotations

import logging

import msgspec

from ..repository import StoredResult
from .connection import Connection
from .record_texts import BadRecord, parse_record, record_text
from .result_keys import RESULTS, Pairs, ResultKey
from .saving import Target, delete, describe, link, map_annotation, save

FIND = "select a.id, a.description from MapAnnotation a where a.ns = :ns and a.name = :key order by a.id"
OF_JOB = """
select a.name, a.description from MapAnnotation a join a.mapValue pair
where a.ns = :ns and pair.name = 'job' and pair.value = :job and a.description is not null order by a.id
"""


class WellRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What everything that is written for a well refers to: who made it, of what."""

    id: int
    group_id: int
    key: ResultKey
    pairs: Pairs
    finished: StoredResult | None = None
    """The result, once all of it is in OMERO."""


def open_record(connection: Connection, well: Target, key: ResultKey, pairs: Pairs) -> WellRecord:
    """The record of a well: the one that is there, or a new one at the well.

    Raises:
        OmeroNotPermitted: the session's user may not annotate the well.
        OmeroError: the server refuses or cannot be reached.
    """
    found = _find(connection, key)
    # A finished one stands, whatever was begun beside it.
    found.sort(key=lambda one: (one[1] is None, one[0]))
    if found:
        begun = (number for number, result in found[1:] if result is None)
        delete(connection, "MapAnnotation", begun, group_id=well.group_id)
    else:
        made = map_annotation(connection, RESULTS, key.text, pairs)
        save(connection, [link(connection, well, made)], group_id=well.group_id)
        found = _find(connection, key)
    number, finished = found[0]
    return WellRecord(id=number, group_id=well.group_id, key=key, pairs=pairs, finished=finished)


def finish_record(connection: Connection, record: WellRecord, result: StoredResult) -> None:
    """Say that all of a well's result is in OMERO, and what it is.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    pairs = (
        *record.pairs,
        ("objects", str(result.n_objects)),
        *((name, f"{value:g}") for name, value in result.measurements),
    )
    describe(connection, record.id, record_text(result), group_id=record.group_id, pairs=pairs)


def find_result(connection: Connection, key: ResultKey) -> StoredResult | None:
    """The finished result of a well; None while it is not finished.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    return next((result for _, result in _find(connection, key) if result is not None), None)


def results_of_job(connection: Connection, job: str, *, origin: str = "") -> tuple[StoredResult, ...]:
    """The finished wells of a job of one mesh, in the order of the wells.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    found: dict[tuple[int, int, str], StoredResult] = {}
    begins = f"{origin}/{job}/" if origin else f"{job}/"
    for name, described in connection.rows(OF_JOB, ns=RESULTS, job=job):
        if not name.startswith(begins):
            continue
        result = _believed(described, name, job, origin)
        if result is not None:
            found.setdefault((result.plate_id, len(result.well), result.well), result)
    return tuple(found[at] for at in sorted(found))


def _find(connection: Connection, key: ResultKey) -> list[tuple[int, StoredResult | None]]:
    rows = connection.rows(FIND, ns=RESULTS, key=key.text)
    return [(number, _believed(told, key.text, key.job, key.origin)) for number, told in rows]


def _believed(described: str | None, name: str, job: str, origin: str) -> StoredResult | None:
    """What a record tells; one that the mesh has not written so is of a well that is not finished."""
    if not described:
        return None
    try:
        return parse_record(described, name=name, job=job, origin=origin)
    except BadRecord as error:
        logging.getLogger(__name__).warning("the record %s at OMERO is not believed: %s", name, error)
        return None
