"""The first and the last plane of what was imported as the server gives them, to be held against the source's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..certificate import CertifiedPlane
from ..model import Image, Plate
from ..repository import StoredFileset
from .connection import Connection
from .plates import read_plate
from .raw_planes import read_raw_plane
from .standing import FiledFileset
from .structure import DTYPES, OmeroPlate, Place

_IMAGES = """
select img.series, pix.id, pix.sizeX, pix.sizeY, pix.sizeZ, pix.sizeC, pix.sizeT, pt.value, img.details.group.id
from Pixels pix join pix.image img join pix.pixelsType pt where img.fileset.id = :fid order by img.series
"""


class ServedPlane(NamedTuple):
    """A plane of the source, and what the server gives for it; None where it has none in that place."""

    image: Image
    plane: CertifiedPlane | None


def served_planes(connection: Connection, made: FiledFileset, planned: StoredFileset) -> tuple[ServedPlane, ...]:
    """The first and the last plane of every planned plate of a fileset.

    A plate's wells are found by their names, its fields by their order in each well; an image that lies on no plate is
    found by its place in the file.

    Raises:
        UnreadableImage: the server answers with fewer or more bytes than a plane has.
        ImageTooLarge: a plane is larger than any that is read.
        MetadataError: a plate claims more planes than are read.
        OmeroError: the server refuses or cannot be reached.
    """
    plates = [one for one in planned.plates if one.kind == "plate"]
    images = [one for one in planned.plates if one.kind == "image"]
    found: list[ServedPlane] = []
    for plate, number in zip(plates, (*made.plate_ids, *[0] * len(plates)), strict=False):
        there = read_plate(connection, number) if number else None
        found += [
            _served(connection, image, _on_plate(there, plate, image) if there is not None else None)
            for image in ends(plate)
        ]
    series = series_of(connection, made.id) if images else []
    for n, plate in enumerate(images):
        place = series[n] if n < len(series) else None
        found += [_served(connection, image, place) for image in ends(plate)]
    return tuple(found)


def ends(plate: Plate) -> tuple[Image, ...]:
    """The first and the last plane of a plate; a projection is none that every reader knows of."""
    planes = [image for image in plate.images() if image.kind == "plane"]
    return (planes[0], planes[-1]) if len(planes) > 1 else tuple(planes)


def _served(connection: Connection, image: Image, place: Place | None) -> ServedPlane:
    if place is None or image.c >= place.n_c or image.z >= place.n_z or image.t >= place.n_t:
        return ServedPlane(image, None)
    plane = read_raw_plane(connection, place, c=image.c, z=image.z, t=image.t)
    pixels = plane.astype(plane.dtype.newbyteorder("<"), copy=False)
    return ServedPlane(
        image,
        CertifiedPlane(
            file=image.file,
            page=image.page,
            height=place.height,
            width=place.width,
            dtype=place.dtype,
            checksum=hashlib.sha1(pixels.tobytes(), usedforsecurity=False).hexdigest(),
        ),
    )


def _on_plate(there: OmeroPlate, planned: Plate, image: Image) -> Place | None:
    """Where a server's plate has a planned image: in the same well, in the field of the same rank."""
    ours = sorted({one.field for one in planned.images(well=image.well)})
    if image.well not in there.plate.wells:
        return None
    files = dict(_fields(there.plate, image.well))
    rank = ours.index(image.field)
    theirs = sorted(files)
    return there.places[files[theirs[rank]]] if rank < len(theirs) else None


def _fields(plate: Plate, well: str) -> Iterator[tuple[int, str]]:
    return ((one.field, one.file) for one in plate.images(well=well))


def series_of(connection: Connection, fileset_id: int) -> Sequence[Place]:
    """Every image of a fileset that the session may see, in the order of its series.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    return [
        Place(
            pixels_id=pixels_id,
            group_id=group_id,
            fileset_id=fileset_id,
            series=series,
            n_c=n_c,
            n_z=n_z,
            n_t=n_t,
            height=height,
            width=width,
            dtype=DTYPES[kind],
        )
        for series, pixels_id, width, height, n_z, n_c, n_t, kind, group_id in connection.rows(_IMAGES, fid=fileset_id)
        if kind in DTYPES
    ]
