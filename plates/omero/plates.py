"""Plates of an OMERO.server, asked for in one or two calls each, whatever their size."""

from __future__ import annotations

import math
from typing import Any

from ..local.errors import check_plate_id
from ..model import Plate, PlateSummary
from .connection import ANY_GROUP, Connection
from .off_plates import no_plate_there
from .pool import ConnectionPool
from .structure import (
    PLATE,
    SHAPES,
    STRUCTURE,
    SUMMARIES,
    Description,
    OmeroPlate,
    empty_plate,
    first_pixels,
    stamp_of_empty,
    stamp_of_rows,
    structure,
    summaries,
)


class OmeroPlates:
    """The plates that one session may see; what it may not see is not there."""

    def __init__(self, pool: ConnectionPool) -> None:
        """Ask through the connections of one session."""
        self._pool = pool

    def plates(self) -> tuple[PlateSummary, ...]:
        """List every plate.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        return self._pool.read(list_plates)

    def plate(self, plate_id: int) -> Plate:
        """Return what one plate holds, its root being the server's address.

        Raises:
            PlateNotFound: no plate has this id, or none that may be seen.
        MetadataError: it claims more planes than are read.
            OmeroError: the server refuses or cannot be reached.
        """
        return self.with_places(plate_id).plate

    def with_places(self, plate_id: int) -> OmeroPlate:
        """Return what one plate holds, and where the planes of each of its images are.

        Raises:
            PlateNotFound: no plate has this id, or none that may be seen.
        MetadataError: it claims more planes than are read.
            OmeroError: the server refuses or cannot be reached.
        """
        check_plate_id(plate_id)
        return self._pool.read(lambda connection: read_plate(connection, plate_id))


def list_plates(connection: Connection) -> tuple[PlateSummary, ...]:
    """Ask for a line of each plate that the session may see.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    return summaries(connection.rows(SUMMARIES), connection.rows(SHAPES))


def read_plate(connection: Connection, plate_id: int) -> OmeroPlate:
    """Ask for one plate.

    Raises:
        PlateNotFound: no plate has this id, or none that may be seen.
        MetadataError: it claims more planes than are read.
        OmeroError: the server refuses or cannot be reached.
    """
    return read_stamped(connection, plate_id)[0]


def read_stamped(connection: Connection, plate_id: int) -> tuple[OmeroPlate, str]:
    """Ask for one plate, and tell by the same rows what its stamp is.

    Raises:
        PlateNotFound: no plate has this id, or none that may be seen.
        MetadataError: it claims more planes than are read.
        OmeroError: the server refuses or cannot be reached.
    """
    root = f"omero://{connection.address}"
    rows = connection.rows(STRUCTURE, pid=plate_id)
    if not rows:
        said = connection.rows(PLATE, pid=plate_id)
        if not said:
            raise no_plate_there(connection, plate_id)
        return empty_plate(plate_id, said, root=root), stamp_of_empty(said[0])
    return structure(plate_id, rows, describe(connection, first_pixels(rows)), root=root), stamp_of_rows(rows)


def describe(connection: Connection, pixels_id: int) -> Description:
    """The names of an image's channels and the size of its pixels, with a note where what is told as one is none.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    with connection.calling():
        pixels = connection.service("PixelsService").retrievePixDescription(pixels_id, {"omero.group": ANY_GROUP})
        told = pixels.getPhysicalSizeX()
        size_um = _micrometres(connection, told)
        return Description(
            channels=tuple(_name(channel) for channel in pixels.copyChannels()),
            pixel_size_um=size_um,
            note="" if told is None or size_um is not None else _no_size(told),
        )


def _name(channel: Any) -> str:
    """What OMERO's own clients show: the channel's name, else its wavelength."""
    described = channel.getLogicalChannel() if channel is not None else None
    if described is None or not described.isLoaded():
        return ""
    if (name := described.getName()) is not None:
        return str(name.getValue())
    wave = described.getEmissionWave()
    return f"{wave.getValue():g}" if wave is not None else ""


def _micrometres(connection: Connection, length: Any) -> float | None:
    """A length of OMERO; None where none is told, or where it is no size that anything can have."""
    if length is None or length.getValue() is None:
        return None
    model = connection.library.omero.model
    units = model.enums.UnitsLength
    # OMERO has two units that are no lengths, and takes any number: a file may say either of its pixels.
    if length.getUnit() in (None, units.PIXEL, units.REFERENCEFRAME):
        return None
    size_um = float(model.LengthI(length, units.MICROMETER).getValue())
    return size_um if math.isfinite(size_um) and size_um > 0.0 else None


def _no_size(length: Any) -> str:
    return f"a pixel is told to be {length.getValue()} {length.getUnit()} wide, which is left out: it is no length"
