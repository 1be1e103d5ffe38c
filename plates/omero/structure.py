"""A plate's structure out of the rows that OMERO answers with, in two calls whatever the plate's size (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import MetadataError, UnreadableImage
from ..local.errors import no_plate
from ..model import Image, Plate, PlateSummary, build_plate
from ..wells import label_if_any

STRUCTURE = """
select well.row, well.column, index(ws), img.series, pix.id, pix.sizeX, pix.sizeY, pix.sizeZ, pix.sizeC, pix.sizeT,
 pt.value, fs.id, plate.name, plate.rows, plate.columns, plate.details.group.id, ws.id, pix.details.updateEvent.id
from Well well join well.plate plate join well.wellSamples ws join ws.image img join img.pixels pix
 join pix.pixelsType pt left outer join img.fileset fs
where plate.id = :pid order by well.row, well.column, index(ws)
"""
"""Every image of a plate, once: its files are asked for apart, or a fileset of the whole plate would multiply them."""

PLATE = "select plate.name, plate.rows, plate.columns, plate.details.group.id from Plate plate where plate.id = :pid"
"""What there is to know of a plate that holds no image yet."""

STAMP = """
select plate.name, plate.rows, plate.columns, plate.details.group.id, count(ws.id), max(ws.id), max(pix.id),
 max(pix.details.updateEvent.id)
from Plate plate left outer join plate.wells well left outer join well.wellSamples ws
 left outer join ws.image img left outer join img.pixels pix
where plate.id = :pid group by plate.name, plate.rows, plate.columns, plate.details.group.id
"""
"""One row that is another once the plate is renamed, has other images, another size of pixels, or another group.

Of a move to another group no event tells. Of names of channels it tells nothing: they stand at rows of their own, as
many as there are channels.
"""

SUMMARIES = """
select plate.id, plate.name, count(distinct ws.well.id), count(ws.id)
from Plate plate left outer join plate.wells well left outer join well.wellSamples ws
group by plate.id, plate.name order by plate.id
"""
"""One line for each plate; of its wells those count that have images, for some readers make the others as well."""

SHAPES = """
select plate.id, pix.sizeC, pix.sizeZ, pix.sizeT, count(pix.id)
from Plate plate join plate.wells well join well.wellSamples ws join ws.image img join img.pixels pix
group by plate.id, pix.sizeC, pix.sizeZ, pix.sizeT
"""
"""How many images of each shape a plate has, mostly of one.

They are multiplied here: a product beyond 2^31 - 1 fails a whole query in PostgreSQL, whosever image it is.
"""

LARGEST_COUNT = 2**53 - 1
"""What a list tells of a plate that claims more planes: no message carries 2^93, nor a web page more than this."""

DTYPES: Mapping[str, str] = {
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    "float": "float32",
    "double": "float64",
}
"""OMERO's pixel types by numpy's names; those of bits and of complex numbers have none here."""

MAX_PLANES = 2_000_000
"""Planes of a plate that is read: they take some seconds and 600 MB, and who writes to OMERO may claim 2^93.

As many as a plate of MetaXpress may have, and more than a message carries that has the length it is shipped with.
"""


class Place(NamedTuple):
    """Where the planes of one image are: in OMERO by their pixels, on disk by their fileset and series."""

    pixels_id: int
    group_id: int
    fileset_id: int
    """0 where the image was never a file."""
    series: int
    n_c: int
    n_z: int
    n_t: int
    height: int
    width: int
    dtype: str


class Description(NamedTuple):
    """What is asked of one image and taken to hold for all of its plate."""

    channels: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    note: str = ""
    """What was left out."""


class OmeroPlate(NamedTuple):
    """A plate, and where each of its images is; an image's ``file`` in the plate is its place's name."""

    plate: Plate
    places: Mapping[str, Place]


class _Row(NamedTuple):
    row: int | None
    column: int | None
    field: int
    series: int | None
    pixels_id: int
    width: int
    height: int
    n_z: int
    n_c: int
    n_t: int
    pixels_type: str
    fileset_id: int | None
    name: str
    n_rows: int | None
    n_columns: int | None
    group_id: int
    sample_id: int
    update_id: int
    """The last event that changed the pixels: their size in micrometres, say."""


_NAME = re.compile(
    r"pixels/([1-9]\d*)\?group=(\d+)&fileset=(\d+)&series=(\d+)"
    r"&c=([1-9]\d*)&z=([1-9]\d*)&t=([1-9]\d*)&y=([1-9]\d*)&x=([1-9]\d*)&type=(\w+)",
    re.ASCII,
)


def name_of(place: Place) -> str:
    """The name of a place, which says all of it: whoever gets a plate need not ask where its planes are."""
    n_c, n_z, n_t = place.n_c, place.n_z, place.n_t
    return (
        f"pixels/{place.pixels_id}?group={place.group_id}&fileset={place.fileset_id}&series={place.series}"
        f"&c={n_c}&z={n_z}&t={n_t}&y={place.height}&x={place.width}&type={place.dtype}"
    )


def place_named(name: str) -> Place:
    """The place of a name.

    Raises:
        UnreadableImage: it is no place's.
    """
    found = _NAME.fullmatch(name)
    if found is None or found[10] not in DTYPES.values():
        raise UnreadableImage(f"{name!r} is no place of an image at OMERO", hint="Ask for the plate again.")
    pixels_id, group_id, fileset_id, series, n_c, n_z, n_t, height, width = map(int, found.groups()[:9])
    return Place(pixels_id, group_id, fileset_id, series, n_c, n_z, n_t, height, width, found[10])


def plane_of(place: Place, page: int) -> tuple[int, int, int]:
    """The channel, z and t of a place's plane, which are counted in this order.

    Raises:
        UnreadableImage: the place has fewer planes.
    """
    if not 0 <= page < place.n_c * place.n_z * place.n_t:
        raise UnreadableImage(f"pixels {place.pixels_id} at OMERO have no plane {page}")
    t, rest = divmod(page, place.n_c * place.n_z)
    z, c = divmod(rest, place.n_c)
    return c, z, t


def first_pixels(rows: Sequence[Sequence[Any]]) -> int:
    """The pixels that are asked for a description of their plate, those with the most channels."""
    return max((_Row(*row) for row in rows), key=lambda row: row.n_c).pixels_id


def stamp_of_answer(row: Sequence[Any]) -> str:
    """The stamp that ``STAMP`` answers with."""
    return repr([*row])


def stamp_of_rows(rows: Sequence[Sequence[Any]]) -> str:
    """What ``STAMP`` would answer of the plate of these rows, which has some.

    ``STAMP`` counts fields without an image too, which have no row: then the two differ, and who has this one asks for
    the plate once more.
    """
    found = [_Row(*row) for row in rows]
    first, last_sample = found[0], max(row.sample_id for row in found)
    last_pixels, last_update = max(row.pixels_id for row in found), max(row.update_id for row in found)
    shape = (first.name, first.n_rows, first.n_columns, first.group_id)
    return stamp_of_answer([*shape, len(found), last_sample, last_pixels, last_update])


def stamp_of_empty(row: Sequence[Any]) -> str:
    """What ``STAMP`` would answer of a plate without images, of which this is the row of ``PLATE``."""
    return stamp_of_answer([*row, 0, None, None, None])


def structure(plate_id: int, rows: Iterable[Sequence[Any]], description: Description, *, root: str) -> OmeroPlate:
    """What a plate holds, and where it lies; ``field`` counts from 1 through a well's samples.

    Raises:
        PlateNotFound: there are no rows.
        MetadataError: they claim more than ``MAX_PLANES`` planes.
    """
    found = [_Row(*row) for row in rows]
    if not found:
        raise no_plate(plate_id)
    placed = [row for row in found if label_if_any(row.row, row.column)]
    readable = [row for row in placed if row.pixels_type in DTYPES]
    _check_n_planes(plate_id, readable)
    strange = Counter(row.pixels_type for row in placed if row.pixels_type not in DTYPES)
    notes = [f"{n} images of pixel type {kind} are left out" for kind, n in strange.items()]
    if len(placed) < len(found):
        notes.append(f"{len(found) - len(placed)} images of wells without a row or column of a plate are left out")
    if description.note:
        notes.append(description.note)
    plate = build_plate(
        _images(readable),
        id=plate_id,
        name=found[0].name,
        n_rows=found[0].n_rows or 1 + max((row.row or 0 for row in placed), default=-1),
        n_columns=found[0].n_columns or 1 + max((row.column or 0 for row in placed), default=-1),
        channels=_names(description.channels, max((row.n_c for row in readable), default=0)),
        pixel_size_um=description.pixel_size_um,
        root=root,
        notes=tuple(notes),
    )
    return OmeroPlate(plate, {name_of(place): place for place in map(_place, readable)})


def empty_plate(plate_id: int, rows: Sequence[Sequence[Any]], *, root: str) -> OmeroPlate:
    """A plate without images.

    Raises:
        PlateNotFound: there is no such plate, or none that this session may see.
    """
    if not rows:
        raise no_plate(plate_id)
    name, n_rows, n_columns, _ = rows[0]
    plate = build_plate((), id=plate_id, name=name, n_rows=n_rows or 0, n_columns=n_columns or 0, root=root)
    return OmeroPlate(plate, {})


def summaries(rows: Iterable[Sequence[Any]], shapes: Iterable[Sequence[Any]]) -> tuple[PlateSummary, ...]:
    """One line for each plate, of what ``SUMMARIES`` and ``SHAPES`` answer with."""
    n_planes = Counter[int]()
    for plate_id, n_c, n_z, n_t, n in shapes:
        n_planes[plate_id] += max(0, n_c) * max(0, n_z) * max(0, n_t) * n
    return tuple(
        PlateSummary(
            id=plate_id,
            name=name,
            n_wells=n_wells,
            n_fields=n_fields,
            n_images=min(n_planes[plate_id], LARGEST_COUNT),
        )
        for plate_id, name, n_wells, n_fields in rows
    )


def _check_n_planes(plate_id: int, rows: Sequence[_Row]) -> None:
    """Refuse sizes that nothing here could hold, before anything is built of them: OMERO keeps whatever it is told.

    Raises:
        MetadataError: there are more than ``MAX_PLANES`` planes.
    """
    n_planes = sum(map(_n_planes, rows))
    if n_planes > MAX_PLANES:
        largest = max(rows, key=_n_planes)
        raise MetadataError(
            f"plate {plate_id} at OMERO claims {n_planes:,} planes, and at most {MAX_PLANES:,} are read; its largest "
            f"image, field {largest.field + 1} of well {label_if_any(largest.row, largest.column)}, has "
            f"{largest.n_c} channels, {largest.n_z} z and {largest.n_t} t",
            hint="If no microscope made it so, delete that image in OMERO, or ask its owner to. A plate that is "
            "really as large has to be several plates there.",
        )


def _n_planes(row: _Row) -> int:
    """What an image adds to its plate; sizes below 1 count as 1, for the others are gone through all the same."""
    return max(1, row.n_c) * max(1, row.n_z) * max(1, row.n_t)


def _images(rows: Iterable[_Row]) -> Iterator[Image]:
    labels: dict[tuple[int | None, int | None], str] = {}
    for row in rows:
        at = (row.row, row.column)
        if at not in labels:
            labels[at] = label_if_any(*at)
        well, file, dtype = labels[at], name_of(_place(row)), DTYPES[row.pixels_type]
        page = 0
        for t in range(row.n_t):
            for z in range(row.n_z):
                for c in range(row.n_c):
                    yield Image(well, row.field + 1, c, z, t, "plane", file, page, row.height, row.width, dtype)
                    page += 1


def _place(row: _Row) -> Place:
    return Place(
        pixels_id=row.pixels_id,
        group_id=row.group_id,
        fileset_id=row.fileset_id or 0,
        series=row.series or 0,
        n_c=row.n_c,
        n_z=row.n_z,
        n_t=row.n_t,
        height=row.height,
        width=row.width,
        dtype=DTYPES[row.pixels_type],
    )


def _names(told: tuple[str, ...], n_channels: int) -> tuple[str, ...]:
    """A name for each channel, its number where nobody gave one."""
    return tuple(told[c] if c < len(told) and told[c] else str(c) for c in range(n_channels))
