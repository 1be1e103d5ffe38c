"""Plates of processed images: their wells are there from the start, and empty until their images are whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..wells import label_if_any, well_label
from .connection import ANY_GROUP, Connection, Row
from .errors import OmeroNothingThere
from .result_keys import PLATE, Pairs, ResultKey
from .saving import Target, delete, map_annotation, owner_of, save, unloaded

FIND = """
select plate.id, count(ws.id) from Plate plate join plate.annotationLinks l join l.child note
 left outer join plate.wells well left outer join well.wellSamples ws
where note.ns = :ns and note.name = :key and note.details.owner.omeName = :owner
 and l.details.owner.id = note.details.owner.id and plate.details.owner.id = note.details.owner.id
group by plate.id order by plate.id
"""
SOURCE = "select plate from Plate plate where plate.id = :id"
POSITIONS = "select distinct well.row, well.column from Well well where well.plate.id = :pid"
SCREENS = """
select distinct screen.id from ScreenPlateLink l join l.parent screen
where l.child.id = :pid and screen.details.owner.id = :me
"""
AT = "select well.id from Well well where well.plate.id = :pid and well.row = :row and well.column = :column"
WELL = "select distinct well from Well well left outer join fetch well.wellSamples where well.id = :id"
HELD = "select ws.image.id from WellSample ws where ws.well.id = :id"


def derived_plate(connection: Connection, source: Target, key: ResultKey, *, name: str, pairs: Pairs) -> int:
    """The plate of a job's processed images, made once: the source's wells without a single image.

    It hangs in those screens of the source that are the session's user's own.

    Raises:
        OmeroNotPermitted: the session's user may not write in the source's group.
        OmeroError: the server refuses or cannot be reached.
    """
    found = _find(connection, key, source.group_id)
    if not found:
        save(connection, [_unsaved(connection, source, key, name, pairs)], group_id=source.group_id)
        found = _find(connection, key, source.group_id)
    # One that holds images stays, whatever was begun beside it.
    found.sort(key=lambda row: (not row[1], row[0]))
    delete(connection, "Plate", (number for number, n_images in found[1:] if not n_images), group_id=source.group_id)
    return int(found[0][0])


def fill_well(connection: Connection, plate: Target, position: tuple[int, int], image_ids: Iterable[int]) -> None:
    """Put images into a well in their order, those that it does not hold yet, all of them at once.

    Raises:
        OmeroNothingThere: the plate has no such well.
        OmeroNotPermitted: the session's user may not write to the plate.
        OmeroError: the server refuses or cannot be reached.
    """
    row, column = position
    at = connection.rows(AT, pid=plate.id, row=row, column=column)
    if not at:
        raise OmeroNothingThere(
            f"Plate {plate.id} at OMERO has no well {well_label(row, column)}.",
            hint="Somebody has changed the plate of results: delete it, and run the pipeline again.",
        )
    well_id = at[0][0]
    with connection.calling():
        parameters = connection.library.omero.sys.ParametersI().addId(well_id)
        well = connection.service("QueryService").findByQuery(WELL, parameters, {"omero.group": ANY_GROUP})
    held = {number for (number,) in connection.rows(HELD, id=well_id)}
    missing = [number for number in image_ids if number not in held]
    for number in missing:
        sample = connection.library.omero.model.WellSampleI()
        sample.setImage(unloaded(connection, "Image", number))
        well.addWellSample(sample)
    if missing:
        save(connection, [well], group_id=plate.group_id)


def _find(connection: Connection, key: ResultKey, group_id: int) -> list[Row]:
    return connection.rows(FIND, group=str(group_id), ns=PLATE, key=key.text, owner=owner_of(connection, key))


def _unsaved(connection: Connection, source: Target, key: ResultKey, name: str, pairs: Pairs) -> Any:
    model, types = connection.library.omero.model, connection.library.rtypes
    with connection.calling():
        query, parameters = connection.service("QueryService"), connection.library.omero.sys.ParametersI()
        of = query.findByQuery(SOURCE, parameters.addId(source.id), {"omero.group": ANY_GROUP})
    plate = model.PlateI()
    plate.setName(types.rstring(name))
    for field in ("Rows", "Columns", "RowNamingConvention", "ColumnNamingConvention"):
        getattr(plate, f"set{field}")(getattr(of, f"get{field}")())
    # Those of wells that may have results: others have no name here.
    for row, column in sorted(at for at in connection.rows(POSITIONS, pid=source.id) if label_if_any(*at)):
        well = model.WellI()
        well.setRow(types.rint(row))
        well.setColumn(types.rint(column))
        plate.addWell(well)
    plate.linkAnnotation(map_annotation(connection, PLATE, key.text, pairs))
    me = int(connection.event_context().userId)
    for (screen_id,) in connection.rows(SCREENS, pid=source.id, me=me):
        hung = model.ScreenPlateLinkI()
        hung.setParent(unloaded(connection, "Screen", screen_id))
        hung.setChild(plate)
        plate.addScreenPlateLink(hung, False)  # noqa: FBT003 - as OMERO has it
    return plate
