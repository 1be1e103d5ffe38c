"""Where a plate in OMERO belongs and what people said of it, whatever program they used: two questions."""

from __future__ import annotations

from typing import Any

from ..labels import KEY_VALUE, Labels
from .annotation_texts import is_of_a_result
from .connection import ANY_GROUP, Connection
from .labelling import KEY_VALUES
from .off_plates import no_plate_there
from .plate_metadata import METADATA

PLATE = """
select plate.description, screen.name from Plate plate
 left outer join plate.screenLinks link left outer join link.parent screen
where plate.id = :pid order by screen.id
"""
SAID = "select link from PlateAnnotationLink link join fetch link.child where link.parent.id = :pid order by link.id"
_TOLD = (KEY_VALUES, KEY_VALUE, METADATA)


def read_labels(connection: Connection, plate_id: int) -> Labels:
    """What stands at a plate; where it is in several screens, the first of them.

    Raises:
        PlateNotFound: no plate has this id, or none that may be seen.
        OmeroError: the server refuses or cannot be reached.
    """
    rows = connection.rows(PLATE, pid=plate_id)
    if not rows:
        raise no_plate_there(connection, plate_id)
    description, screen = rows[0]
    said = [one for one in _said(connection, plate_id) if not is_of_a_result(_text(one.getNs()))]
    model = connection.library.omero.model
    return Labels(
        screen=screen or "",
        description=description or "",
        tags=tuple(_text(one.getTextValue()) for one in said if isinstance(one, model.TagAnnotationI)),
        key_values=tuple(
            (pair.name, _whole(pair.value, one))
            for one in said
            if isinstance(one, model.MapAnnotationI) and _text(one.getNs()) in _TOLD
            for pair in one.getMapValue() or ()
        ),
        comment="\n".join(_text(one.getTextValue()) for one in said if isinstance(one, model.CommentAnnotationI)),
    )


def _said(connection: Connection, plate_id: int) -> list[Any]:
    with connection.calling():
        parameters = connection.library.omero.sys.ParametersI()
        parameters.addLong("pid", plate_id)
        links = connection.service("QueryService").findAllByQuery(SAID, parameters, {"omero.group": ANY_GROUP})
    return [link.getChild() for link in links]


def _whole(value: str, annotation: Any) -> str:
    """A pair's value; one that was too long for a pair stands in the description."""
    description = _text(annotation.getDescription())
    return description if description and value.endswith("…") else value


def _text(value: Any) -> str:
    return str(value.getValue()) if value is not None else ""
