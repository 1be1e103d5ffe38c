"""What people and programs attached to a plate in OMERO and to its wells: listed, and added to once per key."""

from __future__ import annotations

from typing import Any

import msgspec

from ..labels import TAG
from ..repository import Annotation
from .annotation_texts import Row, Said, annotations_of, grouped, is_of_a_result, pair_of
from .connection import Connection
from .pool import ConnectionPool
from .result_keys import LONGEST, fitting
from .saving import Target, delete, link, map_annotation, save, unloaded
from .targets import find_plate, find_well

# Ids in one query; servers bound the length of one.
_IDS_AT_ONCE = 1000

OF_PLATE = """
select a.id, a.ns, a.description, a.details.owner.omeName, a.details.creationEvent.time
from PlateAnnotationLink l join l.child a where l.parent.id = :pid order by a.id
"""
OF_WELLS = """
select a.id, a.ns, a.description, a.details.owner.omeName, a.details.creationEvent.time, well.row, well.column
from WellAnnotationLink l join l.child a join l.parent well where well.plate.id = :pid order by a.id
"""
TAGS = "select a.id, a.textValue from TagAnnotation a where a.id in (:ids)"
COMMENTS = "select a.id, a.textValue from CommentAnnotation a where a.id in (:ids)"
FILES = "select a.id, f.name from FileAnnotation a join a.file f where a.id in (:ids)"
PAIRS = "select a.id, pair.name, pair.value from MapAnnotation a join a.mapValue pair where a.id in (:ids)"
ATTACHED = """
select a.id from {kind}AnnotationLink l join l.child a where l.parent.id = :id and a.name = :key
 and a.details.owner.omeName = :owner order by a.id
"""
TAGGED = "select tag.id from {kind}AnnotationLink l join l.child tag where l.parent.id = :id and tag.id = :tag"
TAG_OF = "select a.id from TagAnnotation a where a.textValue = :text and a.details.group.id = :gid order by a.id"


class OmeroAnnotations:
    """Annotations of plates, in one session's name."""

    def __init__(self, pool: ConnectionPool) -> None:
        """Read and write through the connections of one session."""
        self._pool = pool

    def annotations(self, plate_id: int) -> tuple[Annotation, ...]:
        """List what is attached to a plate and its wells, oldest first, whoever attached it.

        Raises:
            PlateNotFound: no plate has this id, or none that may be seen.
            OmeroError: the server refuses or cannot be reached.
        """
        return self._pool.read(lambda connection: list_annotations(connection, plate_id))

    def annotate(
        self, plate_id: int, *, key: str, namespace: str, name: str, value: str, well: str = "", author: str = ""
    ) -> Annotation:
        """Attach text to a plate or well, once for each ``key``; in OMERO its author is the session's user.

        A tag is OMERO's tag of that text, which others may use as well; what has a name is a key-value pair, and
        everything else a comment.

        Raises:
            PlateNotFound, OmeroNothingThere: there is no such plate or well.
            OmeroNotPermitted: the session's user may not annotate it.
            OmeroError: the server refuses or cannot be reached.
        """
        wanted = Annotation(
            id=0, plate_id=plate_id, namespace=namespace, name=name, value=value, well=well, author=author
        )
        with self._pool.connection() as connection:
            to = find_well(connection, plate_id, well).well
            attach = _tag if namespace == TAG else _text
            number = attach(connection, to, fitting(key), wanted)
            listed = {one.id: one for one in list_annotations(connection, plate_id) if one.well == well}
        return listed.get(number, msgspec.structs.replace(wanted, id=number))


def list_annotations(connection: Connection, plate_id: int) -> tuple[Annotation, ...]:
    """What is attached to a plate and its wells, oldest first.

    Raises:
        PlateNotFound: no plate has this id, or none that may be seen.
        OmeroError: the server refuses or cannot be reached.
    """
    find_plate(connection, plate_id)
    rows = [Row(*row) for query in (OF_PLATE, OF_WELLS) for row in connection.rows(query, pid=plate_id)]
    ids = sorted({row.id for row in rows if not is_of_a_result(row.ns)})
    return annotations_of(
        plate_id,
        rows,
        Said(
            dict(_of_ids(connection, TAGS, ids)),
            dict(_of_ids(connection, COMMENTS, ids)),
            grouped(_of_ids(connection, PAIRS, ids)),
            dict(_of_ids(connection, FILES, ids)),
        ),
    )


def _of_ids(connection: Connection, query: str, ids: list[int]) -> list[Any]:
    found: list[Any] = []
    for first in range(0, len(ids), _IDS_AT_ONCE):
        found += connection.rows(query, ids=ids[first : first + _IDS_AT_ONCE])
    return found


def _text(connection: Connection, to: Target, key: str, wanted: Annotation) -> int:
    """A comment or a key-value pair with this key."""
    query = ATTACHED.format(kind=to.kind)
    found = connection.rows(query, id=to.id, key=key, owner=connection.user)
    if not found:
        wrap = connection.library.rtypes.rstring
        if wanted.name:
            pair, description = pair_of(wanted.name, wanted.value, longest=LONGEST)
            made = map_annotation(connection, wanted.namespace, key, (pair,), description=description)
        else:
            made = connection.library.omero.model.CommentAnnotationI()
            made.setNs(wrap(wanted.namespace))
            made.setName(wrap(key))
            made.setTextValue(wrap(wanted.value))
        save(connection, [link(connection, to, made)], group_id=to.group_id)
        found = connection.rows(query, id=to.id, key=key, owner=connection.user)
    # A call that was given up as too slow may have been done all the same.
    delete(connection, "Annotation", (number for (number,) in found[1:]), group_id=to.group_id)
    return int(found[0][0])


def _tag(connection: Connection, to: Target, _: str, wanted: Annotation) -> int:
    """The tag of this text, linked."""
    tags = [number for (number,) in connection.rows(TAG_OF, text=wanted.value, gid=to.group_id)]
    linked = next((tag for tag in tags if connection.rows(TAGGED.format(kind=to.kind), id=to.id, tag=tag)), None)
    if linked is not None:
        return int(linked)
    if tags:
        tag = unloaded(connection, "TagAnnotation", tags[0])
    else:
        tag = connection.library.omero.model.TagAnnotationI()
        tag.setTextValue(connection.library.rtypes.rstring(wanted.value))
    save(connection, [link(connection, to, tag)], group_id=to.group_id)
    return int(tags[0] if tags else connection.rows(TAG_OF, text=wanted.value, gid=to.group_id)[0][0])
