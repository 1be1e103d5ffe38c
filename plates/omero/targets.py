"""What a result describes, in OMERO's own ids: a plate, one of its wells, the images of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..local.errors import no_plate
from ..wells import well_position
from .connection import ANY_GROUP, Connection
from .errors import OmeroNothingThere, OmeroNotPermitted
from .saving import Target

PLATE = "select plate.id, plate.name, plate.details.group.id from Plate plate where plate.id = :pid"
WELL = """
select well.id, index(ws), img.id, well.details.group.id, pix.id
from Well well left outer join well.wellSamples ws left outer join ws.image img left outer join img.pixels pix
where well.plate.id = :pid and well.row = :row and well.column = :column order by well.id, index(ws)
"""


class WellTargets(NamedTuple):
    """Where the results of one well go; without a well its plate stands for it."""

    plate: Target
    plate_name: str
    well: Target
    images: Mapping[int, Target]
    """The image of each field: its place among the well's samples, from 1, which stays where another sample is gone."""
    pixels_id: int = 0
    """Those of one of the images, to ask what all of the plate have in common; 0 without any."""

    def of(self, field: int) -> Target:
        """What a result of this field describes; 0 is the well itself.

        Raises:
            OmeroNothingThere: the well has no such field.
        """
        if not field:
            return self.well
        if field not in self.images:
            raise OmeroNothingThere(
                f"Well {self.well.id} at OMERO has no field {field} to attach a result to.",
                hint="The plate has changed since it was analysed: run the pipeline again.",
            )
        return self.images[field]


def find_plate(connection: Connection, plate_id: int) -> tuple[Target, str]:
    """A plate and its name.

    Raises:
        PlateNotFound: no plate has this id, or none that may be seen.
        OmeroError: the server refuses or cannot be reached.
    """
    rows = connection.rows(PLATE, pid=plate_id)
    if not rows:
        raise no_plate(plate_id)
    number, name, group_id = rows[0]
    return Target("Plate", number, group_id), name


def must_take_results(connection: Connection, plate_id: int) -> None:
    """See to it that results of a plate can be written, before anybody computes them.

    Raises:
        PlateNotFound: no plate has this id, or none that may be seen.
        OmeroNotPermitted: the session's user may not annotate the plate.
        OmeroError: the server refuses or cannot be reached.
    """
    with connection.calling():
        plate = connection.service("QueryService").find("Plate", plate_id, {"omero.group": ANY_GROUP})
    if plate is None:
        raise no_plate(plate_id)
    if not plate.getDetails().getPermissions().canAnnotate():
        raise OmeroNotPermitted(
            f"Plate {plate_id} at OMERO may not be annotated in this session's name, and results are annotations.",
            hint="Its owner may, or members of a group in which annotating is permitted: ask the group's owner.",
        )


def find_well(connection: Connection, plate_id: int, well: str) -> WellTargets:
    """What results of one well of a plate are attached to.

    Raises:
        PlateNotFound: no plate has this id, or none that may be seen.
        OmeroNothingThere: the plate has no such well.
        OmeroError: the server refuses or cannot be reached.
    """
    plate, name = find_plate(connection, plate_id)
    if not well:
        return WellTargets(plate, name, plate, {})
    row, column = well_position(well)
    rows = connection.rows(WELL, pid=plate_id, row=row, column=column)
    if not rows:
        raise OmeroNothingThere(
            f"Plate {plate_id} at OMERO has no well {well}.",
            hint="The plate has changed since it was analysed: run the pipeline again.",
        )
    group_id = rows[0][3]
    return WellTargets(
        plate,
        name,
        Target("Well", rows[0][0], group_id),
        {index + 1: Target("Image", image_id, group_id) for _, index, image_id, *_ in rows if image_id is not None},
        next((row[4] for row in rows if row[4] is not None), 0),
    )
