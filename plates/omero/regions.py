"""Labels as regions of an image: a mask for each object on the plane it was found on, each once."""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np

from .connection import ANY_GROUP, Connection
from .errors import OmeroWriteSpoilt
from .masks import LabelMask, Labels, MaskTooLarge, boxes_of, is_within, labels_of, mask_of
from .message_sizes import PART_BYTES, parts
from .result_keys import LABELS, ResultKey, noted
from .saving import Target, delete, find_keyed, link, map_annotation, save, unloaded
from .well_records import WellRecord

OBJECTS_AT_ONCE = 500
"""Regions saved by one call, either all or none of them; fewer where they have many pixels."""
REGIONS = """
select roi.id, roi.name from RoiAnnotationLink l join l.parent roi join l.child a
where a.id = :id and roi.details.owner.id = a.details.owner.id order by roi.id
"""
SIZES = """
select roi.id, mask.width, mask.height from Mask mask join mask.roi roi join roi.annotationLinks l join l.child a
where a.id = :id and roi.details.owner.id = a.details.owner.id
"""
SHAPES = "select distinct roi from Roi roi join fetch roi.shapes where roi.id in (:ids)"


class PlaneOfImage(NamedTuple):
    """The plane that labels were found on."""

    c: int
    z: int
    t: int


class AttachedLabels(NamedTuple):
    """Regions that are attached to an image; ``annotation_id`` is what they have in common."""

    annotation_id: int
    n_objects: int


def attach_labels(
    connection: Connection, image: Target, key: ResultKey, labels: Labels, plane: PlaneOfImage, *, record: WellRecord
) -> AttachedLabels:
    """Attach each object of a label image (Y, X) as a region, once; those that are there are not written again.

    Raises:
        MaskTooLarge: an object has a box of more pixels than a region may have; nothing is written.
        OmeroNotPermitted: the session's user may not annotate the image.
        OmeroError: the server refuses or cannot be reached.
    """
    boxes = list(boxes_of(labels))
    largest = max(boxes, key=lambda box: box.n_bytes, default=None)
    if largest is not None and largest.n_bytes > PART_BYTES:
        raise MaskTooLarge(
            f"object {largest.label} has a box of {largest.width} x {largest.height} pixels, and a region has "
            f"{8 * PART_BYTES} at most"
        )
    sha1 = hashlib.sha1(np.ascontiguousarray(labels, ">u4").tobytes(), usedforsecurity=False).hexdigest()
    annotation_id = _annotation(connection, image, key, sha1, plane, record)
    there = dict[str, int]()
    doubled = []
    for number, name in connection.rows(REGIONS, id=annotation_id):
        if there.setdefault(name, number) != number:
            doubled.append(number)
    delete(connection, "Roi", doubled, group_id=image.group_id)
    missing = (box for box in boxes if str(box.label) not in there)
    for some in parts(missing, lambda box: box.n_bytes, n_items=OBJECTS_AT_ONCE):
        regions = [_region(connection, image, mask_of(labels, box), plane, annotation_id) for box in some]
        save(connection, regions, group_id=image.group_id)
    return AttachedLabels(annotation_id, len(boxes))


def read_labels(connection: Connection, annotation_id: int, shape: tuple[int, int]) -> Labels:
    """The label image (Y, X) that was attached, of the regions that are the labels' owner's.

    Raises:
        OmeroWriteSpoilt: somebody has changed a region.
        OmeroError: the server refuses or cannot be reached.
    """
    sizes = dict.fromkeys((number for number, _ in connection.rows(REGIONS, id=annotation_id)), 0)
    for number, width, height in connection.rows(SIZES, id=annotation_id):
        sizes[number] = sizes.get(number, 0) + _n_bytes(width, height)
    found = (
        _mask(connection, one, shape)
        for some in parts(sizes, sizes.__getitem__, n_items=OBJECTS_AT_ONCE)
        for one in _shapes(connection, some)
    )
    return labels_of(found, shape)


def _n_bytes(width: float | None, height: float | None) -> int:
    """How many a mask has; of what somebody has changed into another shape it need not be known, for it is refused."""
    n_pixels = (width or 0.0) * (height or 0.0)
    return int(n_pixels) // 8 if 0.0 < n_pixels < math.inf else 0


def _shapes(connection: Connection, rois: list[int]) -> list[Any]:
    with connection.calling():
        parameters = connection.library.omero.sys.ParametersI().addLongs("ids", rois)
        found = connection.service("QueryService").findAllByQuery(SHAPES, parameters, {"omero.group": ANY_GROUP})
        return [one for roi in found for one in roi.copyShapes()]


def _annotation(
    connection: Connection, image: Target, key: ResultKey, sha1: str, plane: PlaneOfImage, record: WellRecord
) -> int:
    """What all regions of these labels are linked to; that of other labels goes with its regions."""
    found = find_keyed(connection, LABELS, key, group_id=image.group_id)
    same = next((one for one in found if one.noted.get("sha1") == sha1), None)
    for one in found:
        if one is not same:
            old = [number for number, _ in connection.rows(REGIONS, id=one.id)]
            for some in parts(old, lambda _: 0, n_items=OBJECTS_AT_ONCE):
                delete(connection, "Roi", some, group_id=image.group_id)
            delete(connection, "MapAnnotation", [one.id], group_id=image.group_id)
    if same is not None:
        return same.id
    where = (("c", str(plane.c)), ("z", str(plane.z)), ("t", str(plane.t)), ("file", key.path), ("sha1", sha1))
    made = map_annotation(connection, LABELS, key.text, (*record.pairs, *where), description=noted((("sha1", sha1),)))
    save(connection, [link(connection, image, made)], group_id=image.group_id)
    return find_keyed(connection, LABELS, key, group_id=image.group_id)[0].id


def _region(connection: Connection, image: Target, mask: LabelMask, plane: PlaneOfImage, annotation_id: int) -> Any:
    model, types = connection.library.omero.model, connection.library.rtypes
    shape, roi = model.MaskI(), model.RoiI()
    for name, value in (("X", mask.x), ("Y", mask.y), ("Width", mask.width), ("Height", mask.height)):
        getattr(shape, f"set{name}")(types.rdouble(value))
    for name, value in (("C", plane.c), ("Z", plane.z), ("T", plane.t)):
        getattr(shape, f"setThe{name}")(types.rint(value))
    shape.setBytes(mask.bits)
    shape.setTextValue(types.rstring(str(mask.label)))
    roi.setName(types.rstring(str(mask.label)))
    roi.addShape(shape)
    roi.setImage(unloaded(connection, "Image", image.id))
    roi.linkAnnotation(unloaded(connection, "MapAnnotation", annotation_id))
    return roi


def _mask(connection: Connection, one: Any, shape: tuple[int, int]) -> LabelMask:
    try:
        x, y, width, height = (int(getattr(one, f"get{name}")().getValue()) for name in ("X", "Y", "Width", "Height"))
        mask = LabelMask(int(one.getTextValue().getValue()), x, y, width, height, bytes(one.getBytes()))
        if is_within(mask, shape):
            return mask
    except (AttributeError, OverflowError, TypeError, ValueError):
        # Another shape, or a text of one's own: OMERO's viewers let people edit them.
        pass
    raise OmeroWriteSpoilt(
        f"A region of labels at {connection.address} is not what was attached.",
        hint="Somebody has changed it there: run the pipeline again.",
    )
