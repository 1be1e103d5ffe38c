"""Labels as regions of an image: a mask for each object on the plane it was found on, each once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .connection import ANY_GROUP, Connection
from .errors import OmeroWriteSpoilt
from .masks import LabelMask, Labels, is_within, labels_of, masks_of
from .result_keys import LABELS, ResultKey, noted
from .saving import Target, delete, find_keyed, link, map_annotation, save, unloaded
from .well_records import WellRecord

T = TypeVar("T")
OBJECTS_AT_ONCE = 500
"""Regions saved by one call, either all or none of them."""
REGIONS = "select roi.id, roi.name from RoiAnnotationLink l join l.parent roi where l.child.id = :id order by roi.id"
SHAPES = """
select distinct roi from Roi roi join fetch roi.shapes join roi.annotationLinks l where l.child.id = :id
"""


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
        OmeroNotPermitted: the session's user may not annotate the image.
        OmeroError: the server refuses or cannot be reached.
    """
    sha1 = hashlib.sha1(np.ascontiguousarray(labels, ">u4").tobytes(), usedforsecurity=False).hexdigest()
    annotation_id = _annotation(connection, image, key, sha1, plane, record)
    there = dict[str, int]()
    doubled = []
    for number, name in connection.rows(REGIONS, id=annotation_id):
        if there.setdefault(name, number) != number:
            doubled.append(number)
    delete(connection, "Roi", doubled, group_id=image.group_id)
    masks = list(masks_of(labels))
    missing = (mask for mask in masks if str(mask.label) not in there)
    for some in _batches(missing):
        regions = [_region(connection, image, mask, plane, annotation_id) for mask in some]
        save(connection, regions, group_id=image.group_id)
    return AttachedLabels(annotation_id, len(masks))


def read_labels(connection: Connection, annotation_id: int, shape: tuple[int, int]) -> Labels:
    """The label image (Y, X) that was attached.

    Raises:
        OmeroWriteSpoilt: somebody has changed a region.
        OmeroError: the server refuses or cannot be reached.
    """
    with connection.calling():
        parameters = connection.library.omero.sys.ParametersI().addId(annotation_id)
        query = connection.service("QueryService")
        rois = query.findAllByQuery(SHAPES, parameters, {"omero.group": ANY_GROUP})
        found = [one for roi in rois for one in roi.copyShapes()]
    return labels_of([_mask(connection, one, shape) for one in found], shape)


def _annotation(
    connection: Connection, image: Target, key: ResultKey, sha1: str, plane: PlaneOfImage, record: WellRecord
) -> int:
    """What all regions of these labels are linked to; that of other labels goes with its regions."""
    found = find_keyed(connection, LABELS, key.text)
    same = next((one for one in found if one.noted.get("sha1") == sha1), None)
    for one in found:
        if one is not same:
            old = [number for number, _ in connection.rows(REGIONS, id=one.id)]
            for some in _batches(old):
                delete(connection, "Roi", some, group_id=image.group_id)
            delete(connection, "MapAnnotation", [one.id], group_id=image.group_id)
    if same is not None:
        return same.id
    where = (("c", str(plane.c)), ("z", str(plane.z)), ("t", str(plane.t)), ("file", key.path), ("sha1", sha1))
    made = map_annotation(connection, LABELS, key.text, (*record.pairs, *where), description=noted((("sha1", sha1),)))
    save(connection, [link(connection, image, made)], group_id=image.group_id)
    return find_keyed(connection, LABELS, key.text)[0].id


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


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, OBJECTS_AT_ONCE)):
        yield some
