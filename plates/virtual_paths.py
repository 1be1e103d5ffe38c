"""Virtual paths: one readable name for every image of every plate, whatever the vendor called its file (pure).

``plate_123/A01/A01_s001_z000_c000.tif`` is plate 123, well A01, field 1, first z, first channel;
``_t000`` follows where a plate has several time points; a projection is written ``zproj``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import PlatePathError
from .model import Image, ImageKind
from .wells import normalise_well

_PATH = re.compile(r"plate_(\d+)/([A-Z]{1,2}\d{2})/\2_s(\d{3,})_z(\d{3,}|proj)_c(\d{3,})(?:_t(\d{3,}))?\.tif", re.ASCII)


class VirtualPath(NamedTuple):
    """One image of one plate; ``t`` is None where the plate has a single time point."""

    plate_id: int
    well: str
    field: int
    z: int
    c: int
    t: int | None = None
    kind: ImageKind = "plane"

    def __str__(self) -> str:
        return format_path(self)


def format_path(path: VirtualPath) -> str:
    """Write a virtual path.

    Raises:
        PlatePathError: a number is negative, or the well is not one.
    """
    numbers = (path.plate_id, path.field, path.z, path.c, path.t or 0)
    if min(numbers) < 0:
        raise PlatePathError(f"a virtual path counts from 0, and {min(numbers)} is below")
    well = normalise_well(path.well)
    z = "proj" if path.kind == "projection" else f"{path.z:03d}"
    t = "" if path.t is None else f"_t{path.t:03d}"
    return f"plate_{path.plate_id}/{well}/{well}_s{path.field:03d}_z{z}_c{path.c:03d}{t}.tif"


def parse_path(text: str) -> VirtualPath:
    """Read a virtual path back.

    Raises:
        PlatePathError: the text is not one that :func:`format_path` writes.
    """
    match = _PATH.fullmatch(text)
    if match is not None:
        plate_id, well, field, z, c, t = match.groups()
        projected = z == "proj"
        path = VirtualPath(
            int(plate_id),
            well,
            int(field),
            0 if projected else int(z),
            int(c),
            None if t is None else int(t),
            "projection" if projected else "plane",
        )
        # Spellings with further leading zeros, and wells such as A00, name no second path to the same image.
        if int(well.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) and format_path(path) == text:
            return path
    raise PlatePathError(
        f"'{text}' is not the virtual path of an image",
        hint="They look like plate_123/A01/A01_s001_z000_c000.tif, with _t000 where there are time points.",
    )


def path_of(plate_id: int, image: Image, *, with_t: bool) -> VirtualPath:
    """The virtual path of an image on a plate."""
    t = image.t if with_t else None
    return VirtualPath(plate_id, image.well, image.field, image.z, image.c, t, image.kind)
