"""Images that lie on no plate: the mesh knows images by their plate, so that people are told where these are."""

from __future__ import annotations

from collections.abc import Sequence

from ..local.errors import PlateNotFound, no_plate
from ..wells import label_if_any
from .connection import Connection

_IMAGES = "select img.id from Image img join img.fileset fs where fs.id in (:ids) order by img.id"
_ON_PLATES = "select img.id from WellSample ws join ws.image img join img.fileset fs where fs.id in (:ids)"
_DATASETS = """
select dataset.id, dataset.name from DatasetImageLink link join link.parent dataset
where link.child.id in (:ids) order by dataset.id
"""
_IMAGE = "select img.name from Image img where img.id = :id"
_ITS_WELLS = """
select plate.id, plate.name, well.row, well.column from WellSample ws join ws.well well join well.plate plate
where ws.image.id = :id order by plate.id
"""
N_NAMED = 10
"""Images that are named one by one."""


def images_off_plates(connection: Connection, fileset_ids: Sequence[int]) -> str:
    """Which images of filesets lie on no plate, and in which datasets; empty where there are none.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    if not fileset_ids:
        return ""
    on_plates = {row[0] for row in connection.rows(_ON_PLATES, ids=[*fileset_ids])}
    images = [row[0] for row in connection.rows(_IMAGES, ids=[*fileset_ids]) if row[0] not in on_plates]
    if not images:
        return ""
    datasets = dict.fromkeys(f"{name} (Dataset:{number})" for number, name in connection.rows(_DATASETS, ids=images))
    return sentence(images, list(datasets))


def sentence(images: Sequence[int], datasets: Sequence[str]) -> str:
    """What people are told of such images."""
    n = len(images)
    named = ", ".join(f"Image:{number}" for number in images[:N_NAMED]) + (", ..." if n > N_NAMED else "")
    where = f"in {' and '.join(datasets)}" if datasets else "in no dataset"
    are, lie = ("images are", "lie") if n > 1 else ("image is", "lies")
    return (
        f"{n} {are} in OMERO {where} and {lie} on no plate ({named}); here only images on plates are listed, shown and "
        "analysed"
    )


def no_plate_there(connection: Connection, number: int) -> PlateNotFound:
    """The error for a number that is no plate's; it explains where it is that of an image.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    found = connection.rows(_IMAGE, id=number)
    if not found:
        return no_plate(number)
    said = f"There is no plate {number}. Image {number} of OMERO ({found[0][0]})"
    if wells := connection.rows(_ITS_WELLS, id=number):
        plate, name, row, column = wells[0]
        label = label_if_any(row, column)
        where = f"well {label}" if label else "a well"
        return PlateNotFound(
            f"{said} is in {where} of plate {plate} ({name}).",
            hint=f"Ask for plate {plate}: here a number is that of a plate.",
        )
    return PlateNotFound(
        f"{said} lies on no plate, and only images on plates are listed, shown and analysed here.",
        hint="OMERO's script 'Dataset To Plate' makes a plate of the images of a dataset, which is listed then. Images "
        "whose names say their wells become one when they are imported with --pattern.",
    )
