"""Images made at OMERO from processed planes: whole before anybody meets them in a well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .connection import Connection
from .image_plans import ImagePlan
from .message_sizes import must_fit
from .open_store import opened
from .raw_planes import Plane
from .result_keys import IMAGE, Pairs, ResultKey, noted
from .saving import delete, describe, in_group, map_annotation, owner_of, save
from .structure import DTYPES

FIND = """
select img.id, pix.id, ws.id, note.id, note.description from Image img join img.pixels pix
 join img.annotationLinks l join l.child note left outer join img.wellSamples ws
where note.ns = :ns and note.name = :key and note.details.owner.omeName = :owner
 and l.details.owner.id = note.details.owner.id and img.details.owner.id = note.details.owner.id order by img.id
"""
PENDING = "Pending..."
"""What OMERO's own clients write as the SHA-1 of pixels that are not there yet."""
_PIXEL_TYPES = {dtype: kind for kind, dtype in DTYPES.items()}


class NewImage(NamedTuple):
    """An image, and where its pixels are."""

    image_id: int
    pixels_id: int


class _Found(NamedTuple):
    image_id: int
    pixels_id: int
    sample_id: int | None
    """Its place in a well, once it is whole."""
    note_id: int
    description: str | None


def make_image(
    connection: Connection,
    key: ResultKey,
    plan: ImagePlan,
    read: Callable[[int, int, int], Plane],
    *,
    name: str,
    pairs: Pairs,
    group_id: int,
    pixel_size_um: float | None = None,
) -> NewImage:
    """Make an image of the planes (Y, X) that ``read`` gives for c, z and t, once.

    Raises:
        OmeroNotPermitted: the session's user may not write in this group.
        OmeroError: the server refuses or cannot be reached.
    """
    # One that a well holds comes first, and is whole; others are written again from their beginning.
    found = sorted(_find(connection, key, group_id), key=lambda one: (one.sample_id is None, one.image_id))
    spare = (one.image_id for one in found[1:] if one.sample_id is None)
    delete(connection, "Image", spare, group_id=group_id)
    note = noted((("sha1", plan.sha1),))
    if not found:
        image = _unsaved(connection, plan, name, pixel_size_um)
        image.linkAnnotation(map_annotation(connection, IMAGE, key.text, pairs, description=note))
        save(connection, [image], group_id=group_id)
        found = _find(connection, key, group_id)
    one = found[0]
    if one.sample_id is not None and one.description == note:
        return NewImage(one.image_id, one.pixels_id)
    if one.description != note:
        # While planes of another attempt are replaced, it is no attempt's.
        describe(connection, one.note_id, "", group_id=group_id)
    _write(connection, one.pixels_id, plan, read, group_id)
    if one.description != note:
        describe(connection, one.note_id, note, group_id=group_id, pairs=pairs)
    return NewImage(one.image_id, one.pixels_id)


def find_image(connection: Connection, key: ResultKey, *, group_id: int) -> NewImage | None:
    """The image that the key's owner has made with it, once a well holds it.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    held = [one for one in _find(connection, key, group_id) if one.sample_id is not None]
    return NewImage(held[0].image_id, held[0].pixels_id) if held else None


def _find(connection: Connection, key: ResultKey, group_id: int) -> list[_Found]:
    rows = connection.rows(FIND, group=str(group_id), ns=IMAGE, key=key.text, owner=owner_of(connection, key))
    return [_Found(*row) for row in rows]


def _unsaved(connection: Connection, plan: ImagePlan, name: str, pixel_size_um: float | None) -> Any:
    model, types = connection.library.omero.model, connection.library.rtypes
    image, pixels = model.ImageI(), model.PixelsI()
    kind, order = model.PixelsTypeI(), model.DimensionOrderI()
    kind.setValue(types.rstring(_PIXEL_TYPES[plan.dtype]))
    order.setValue(types.rstring("XYCZT"))
    image.setName(types.rstring(name))
    pixels.setPixelsType(kind)
    pixels.setDimensionOrder(order)
    pixels.setSha1(types.rstring(PENDING))
    sizes = (plan.width, plan.height, len(plan.zs), len(plan.channels), len(plan.ts))
    for axis, size in zip("XYZCT", sizes, strict=True):
        getattr(pixels, f"setSize{axis}")(types.rint(size))
    if pixel_size_um:
        for axis in "XY":
            length = model.LengthI(pixel_size_um, model.enums.UnitsLength.MICROMETER)
            getattr(pixels, f"setPhysicalSize{axis}")(length)
    for channel_name in plan.channels:
        channel, known_as = model.ChannelI(), model.LogicalChannelI()
        known_as.setName(types.rstring(channel_name))
        channel.setLogicalChannel(known_as)
        pixels.addChannel(channel)
    image.addPixels(pixels)
    return image


def _write(
    connection: Connection, pixels_id: int, plan: ImagePlan, read: Callable[[int, int, int], Plane], group_id: int
) -> None:
    lows, highs = [np.inf] * len(plan.channels), [-np.inf] * len(plan.channels)
    with connection.calling():
        with opened(connection, connection.session.createRawPixelsStore(), group_id=group_id) as store:
            store.setPixelsId(pixels_id, True)  # noqa: FBT003 - as OMERO has it
            # Pyramids take no planes, and tiles in the order that OMERO's own loops over them have.
            tile = store.getTileSize() if store.requiresPixelsPyramid() else None
            for c, z, t in sorted(plan.planes, key=lambda at: (at[2], at[0], at[1])):
                plane = read(c, z, t)
                measured = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
                if measured.size:
                    lows[c], highs[c] = min(lows[c], measured.min()), max(highs[c], measured.max())
                stored = plane.astype(plane.dtype.newbyteorder(">"), copy=False)
                if tile is None:
                    # Where the server makes no pyramid, it takes a plane as a whole.
                    must_fit(stored.nbytes, f"A plane of {plan.name}")
                    store.setPlane(stored.tobytes(), z, c, t)
                    continue
                for y, x, height, width in _tiles(stored.shape, tile[1], tile[0]):
                    part = stored[y : y + height, x : x + width].tobytes()
                    store.setTile(part, z, c, t, x, y, width, height)
            store.save()
        service = connection.service("PixelsService")
        for c, (low, high) in enumerate(zip(lows, highs, strict=True)):
            # A range that is none leaves nothing that could be drawn; without one the server shows what it can.
            if low <= high:
                service.setChannelGlobalMinMax(pixels_id, c, float(low), float(high), in_group(group_id))


def _tiles(shape: tuple[int, ...], high: int, wide: int) -> Iterator[tuple[int, int, int, int]]:
    height, width = shape
    for y in range(0, height, high):
        for x in range(0, width, wide):
            yield y, x, min(high, height - y), min(wide, width - x)
