"""Tables of objects as OMERO.tables, or as the file itself where the server has no tables or refuses this one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .connection import Connection
from .errors import OmeroBusy, OmeroCallRefused, OmeroFailed, OmeroTooLarge
from .file_annotations import AttachedFile, attach_file, kept, link_file
from .message_sizes import PART_BYTES, must_fit
from .open_store import opened
from .result_keys import FILE, TABLE, ResultKey
from .saving import Target, delete, in_group, owner_of, unloaded
from .table_columns import BadTable, Column, batches, columns_of, with_ids
from .targets import WellTargets
from .well_records import WellRecord

ROWS_AT_ONCE = 10_000
"""Rows written or read by one call; fewer where their texts are long."""
_VALUE_BYTES = 8
# The server looks at no repository here; OMERO's own tools pass this number.
_ANY_REPOSITORY = 1
UNLINKED = """
select f.id from OriginalFile f
where f.path = :path and f.mimetype = 'OMERO.tables' and f.details.owner.omeName = :owner
and not exists (select a.id from FileAnnotation a where a.file.id = f.id) order by f.id
"""


class AttachedTable(NamedTuple):
    """A table that is attached; ``note`` says why it is there as its file alone."""

    file: AttachedFile
    note: str = ""


def attach_table(
    connection: Connection, to: Target, key: ResultKey, content: Path, *, wells: WellTargets, record: WellRecord
) -> AttachedTable:
    """Attach a CSV as a table, once: one that is there is kept where it was made of the same bytes.

    Raises:
        OmeroNotPermitted: the session's user may not annotate this.
        OmeroError: the server refuses or cannot be reached.
    """
    text = content.read_bytes()
    sha1 = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    there = kept(connection, key, namespace=TABLE, sha1=sha1, group_id=to.group_id)
    if there is not None:
        return AttachedTable(there)
    if (there := kept(connection, key, namespace=FILE, sha1=sha1, group_id=to.group_id)) is not None:
        return AttachedTable(there, f"{key.path} is stored as a file")
    # What a crash left without a link may lack rows: it is made anew.
    _remove_begun(connection, key, to.group_id)
    try:
        lines = io.StringIO(text.decode("utf-8-sig"), newline="")
        columns = columns_of(lines, delimiter="\t" if key.path.endswith(".tsv") else ",")
    except (BadTable, UnicodeDecodeError) as error:
        return _as_file(connection, to, key, content, record, f"{key.path} is stored as a file: {error}")
    image_ids = {field: image.id for field, image in wells.images.items()}
    known = with_ids(columns, well_id=wells.well.id if wells.well.kind == "Well" else 0, image_ids=image_ids)
    try:
        file_id = _write(connection, key, known, record, to.group_id)
    except (OmeroBusy, OmeroCallRefused, OmeroFailed, OmeroTooLarge) as error:
        # No well is lost over a name that is reserved there, a service that is down, or a row of many long texts.
        _remove_begun(connection, key, to.group_id)
        return _as_file(connection, to, key, content, record, f"{key.path} is stored as a file: {error}")
    if file_id is None:
        return _as_file(
            connection, to, key, content, record, f"{key.path} is stored as a file: the server has no OMERO.tables"
        )
    return AttachedTable(link_file(connection, to, key, file_id, namespace=TABLE, sha1=sha1, record=record))


def read_table(connection: Connection, attached: AttachedFile, *, group_id: int) -> tuple[Column, ...]:
    """The columns of an attached table, in their order.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    with connection.calling():
        file = unloaded(connection, "OriginalFile", attached.file_id)
        resources = connection.in_time(connection.session.sharedResources())
        with opened(connection, resources.openTable(file, in_group(group_id)), group_id=group_id) as table:
            headers, n_rows = table.getHeaders(), table.getNumberOfRows()
            read: dict[str, list[Any]] = {header.name: [] for header in headers}
            at_once = _rows_at_once(getattr(header, "size", 0) for header in headers)
            for first in range(0, n_rows, at_once):
                data = table.read(list(range(len(headers))), first, min(n_rows, first + at_once))
                for column in data.columns:
                    read[column.name].extend(column.values)
            return tuple(
                Column(
                    # As in ::omero::grid::LongColumn.
                    header.ice_id().rpartition("::")[2],
                    header.name,
                    read[header.name],
                    description=header.description or "",
                )
                for header in headers
            )


def _write(
    connection: Connection, key: ResultKey, columns: Sequence[Column], record: WellRecord, group_id: int
) -> int | None:
    """A new table's OriginalFile; None where the server has no tables."""
    at_once = _rows_at_once(column.size for column in columns)
    with connection.calling():
        resources = connection.in_time(connection.session.sharedResources())
        if not resources.areTablesEnabled():
            return None
        made = resources.newTable(_ANY_REPOSITORY, _path(key), in_group(group_id))
        if made is None:
            return None
        with opened(connection, made, group_id=group_id) as table:
            table.initialize([_column(connection, column._replace(values=[])) for column in columns])
            for part in batches(columns, at_once):
                table.addData([_column(connection, column) for column in part])
            wrap = connection.library.rtypes.rstring
            table.setAllMetadata({name.replace(" ", "_"): wrap(value) for name, value in record.pairs})
            return int(table.getOriginalFile().getId().getValue())


def _rows_at_once(sizes: Iterable[int]) -> int:
    """How many rows with texts of these sizes go into one message."""
    row_bytes = sum(_VALUE_BYTES + size for size in sizes)
    must_fit(row_bytes, "A row of the table")
    return min(ROWS_AT_ONCE, max(1, PART_BYTES // row_bytes))


def _remove_begun(connection: Connection, key: ResultKey, group_id: int) -> None:
    """Take away what was begun of a table and is linked to nothing."""
    rows = connection.rows(UNLINKED, group=str(group_id), path=_path(key), owner=owner_of(connection, key))
    delete(connection, "OriginalFile", (number for (number,) in rows), group_id=group_id)


def _column(connection: Connection, column: Column) -> Any:
    made = getattr(connection.library.omero.grid, column.kind)
    if column.kind == "StringColumn":
        return made(column.name, column.description, column.size, list(column.values))
    return made(column.name, column.description, list(column.values))


def _as_file(
    connection: Connection, to: Target, key: ResultKey, content: Path, record: WellRecord, note: str
) -> AttachedTable:
    return AttachedTable(attach_file(connection, to, key, content, namespace=FILE, record=record), note)


def _path(key: ResultKey) -> str:
    """What the table's file is called; OMERO has it as name and as path."""
    return f"{key.folder}{key.name}"
