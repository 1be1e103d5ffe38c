"""Planes through OMERO's store of raw pixels: big-endian bytes, which numpy turns into pixels in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageTooLarge, UnreadableImage
from ..pixels import MAX_PLANE_BYTES
from .connection import Connection
from .structure import Place

Plane = NDArray[Any]

WHOLE_PLANE_BYTES = 32 * 1024 * 1024
"""A plane of more is asked for in tiles: one answer has to fit into memory at both ends, several times."""
TILE_BYTES = 8 * 1024 * 1024
TILE_SIDE = 2048


def read_raw_plane(connection: Connection, place: Place, *, c: int, z: int, t: int, out: Plane | None = None) -> Plane:
    """One plane (Y, X) of an image, in native byte order; into ``out`` where given.

    Raises:
        ImageTooLarge: it is larger than any that is read.
        UnreadableImage: the server answers with fewer or more bytes than the plane has, or ``out`` does not fit.
        OmeroError: the server refuses or cannot be reached.
    """
    plane = target(place, out)
    stored = plane.dtype.newbyteorder(">")
    with connection.calling():
        store = connection.raw_pixels(place.pixels_id, group=str(place.group_id))
        if plane.nbytes <= WHOLE_PLANE_BYTES:
            _put(plane, store.getPlane(z, c, t), stored, place)
            return plane
        for y, x, height, width in tiles((place.height, place.width), plane.dtype.itemsize):
            part = store.getTile(z, c, t, x, y, width, height)
            _put(plane[y : y + height, x : x + width], part, stored, place)
    return plane


def tiles(shape: tuple[int, int], itemsize: int) -> list[tuple[int, int, int, int]]:
    """Cut a plane into tiles (y, x, height, width) of at most ``TILE_BYTES``, row by row."""
    height, width = shape
    wide = min(width, TILE_SIDE)
    high = max(1, min(height, TILE_BYTES // (wide * itemsize)))
    return [
        (y, x, min(high, height - y), min(wide, width - x))
        for y in range(0, height, high)
        for x in range(0, width, wide)
    ]


def target(place: Place, out: Plane | None) -> Plane:
    """Where a plane of an image goes.

    Raises:
        ImageTooLarge: it has more than ``MAX_PLANE_BYTES``.
        UnreadableImage: ``out`` is of another shape or type.
    """
    shape = (place.height, place.width)
    n_bytes = place.height * place.width * np.dtype(place.dtype).itemsize
    if n_bytes > MAX_PLANE_BYTES:
        # OMERO keeps whatever it is told: to try would take the memory of all that runs here.
        raise ImageTooLarge(
            f"Pixels {place.pixels_id} at OMERO claim planes of {place.width} x {place.height} {place.dtype}, "
            f"{n_bytes / 2**30:.1f} GiB each, and at most {MAX_PLANE_BYTES / 2**30:.0f} GiB are read.",
            hint="If no microscope made it so, delete that image in OMERO. One that is really as large has to be "
            "several fields there.",
        )
    if out is None:
        return np.empty(shape, place.dtype)
    if out.shape != shape or out.dtype != place.dtype:
        raise UnreadableImage(
            f"The plane is {shape} {place.dtype}, and {out.shape} {out.dtype.name} was asked for.",
            hint="The image has changed since its plate was looked at.",
        )
    return out


def _put(plane: Plane, answer: bytes, stored: np.dtype[Any], place: Place) -> None:
    if len(answer) != plane.size * stored.itemsize:
        raise UnreadableImage(
            f"OMERO answers with {len(answer)} bytes for {plane.shape[1]} x {plane.shape[0]} {plane.dtype.name} "
            f"of pixels {place.pixels_id}.",
            hint="Does the image open in OMERO's own viewer? Its file may be damaged.",
        )
    np.copyto(plane, np.frombuffer(answer, stored).reshape(plane.shape))
