"""The record of a well's result: made before anything of it is written, and complete once all of it is."""

from __future__ import annotations

import logging

import msgspec

from ..local.errors import PlateNotFound
from ..repository import StoredResult
from .connection import Connection
from .record_texts import BadRecord, parse_record, record_text
from .result_keys import RESULTS, Pairs, ResultKey
from .saving import Target, delete, describe, link, map_annotation, owner_of, save
from .targets import find_plate

FIND = """
select a.id, a.description from MapAnnotation a
where a.ns = :ns and a.name = :key and a.details.owner.omeName = :owner order by a.id
"""
OF_JOB = """
select a.name, a.description, a.details.group.id from MapAnnotation a join a.mapValue pair
where a.ns = :ns and pair.name = 'job' and pair.value = :job and a.description is not null
 and a.details.owner.omeName = :owner order by a.id
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
    """The record of a well: the one of its owner that is there, or a new one at the well.

    Raises:
        OmeroNotPermitted: the session's user may not annotate the well.
        OmeroError: the server refuses or cannot be reached.
    """
    found = _find(connection, key, well.group_id)
    # A finished one stands, whatever was begun beside it.
    found.sort(key=lambda one: (one[1] is None, one[0]))
    if found:
        begun = (number for number, result in found[1:] if result is None)
        delete(connection, "MapAnnotation", begun, group_id=well.group_id)
    else:
        made = map_annotation(connection, RESULTS, key.text, pairs)
        save(connection, [link(connection, well, made)], group_id=well.group_id)
        found = _find(connection, key, well.group_id)
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


def find_result(connection: Connection, key: ResultKey, *, group_id: int) -> StoredResult | None:
    """The finished result of a well, as the key's owner has it in the plate's group; None while it is not finished.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    return next((result for _, result in _find(connection, key, group_id) if result is not None), None)


def results_of_job(connection: Connection, job: str, *, owner: str, origin: str = "") -> tuple[StoredResult, ...]:
    """The finished wells of a job of one mesh, in the order of the wells: what ``owner`` has, where the plate is.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    found: dict[tuple[int, int, str], StoredResult] = {}
    begins = f"{origin}/{job}/" if origin else f"{job}/"
    groups: dict[int, int] = {}
    for name, described, group_id in connection.rows(OF_JOB, ns=RESULTS, job=job, owner=owner):
        if not name.startswith(begins):
            continue
        result = _believed(described, name, job, origin)
        if result is None:
            continue
        if result.plate_id not in groups:
            groups[result.plate_id] = _group_of(connection, result.plate_id)
        # Elsewhere others may act in the owner's name: those who lead the group.
        if group_id == groups[result.plate_id]:
            found.setdefault((result.plate_id, len(result.well), result.well), result)
    return tuple(found[at] for at in sorted(found))


def _find(connection: Connection, key: ResultKey, group_id: int) -> list[tuple[int, StoredResult | None]]:
    rows = connection.rows(FIND, group=str(group_id), ns=RESULTS, key=key.text, owner=owner_of(connection, key))
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


def _group_of(connection: Connection, plate_id: int) -> int:
    """The group of a plate; one that is not there any more has none."""
    try:
        plate, _ = find_plate(connection, plate_id)
    except PlateNotFound:
        return -1
    return plate.group_id
