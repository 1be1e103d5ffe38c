"""What goes with an object when it is deleted, and what stays."""

from __future__ import annotations

from omero_server.call import Call
from omero_server.graph import Graph, Row
from omero_server.refusals import BadData

OWNED: dict[str, tuple[str, ...]] = {
    "Plate": ("wells", "plateAcquisitions"),
    "Well": ("wellSamples",),
    "Image": ("pixels", "rois"),
    "Pixels": ("channels", "settings", "thumbnails", "planeInfo"),
    "Fileset": ("usedFiles", "images"),
    "Roi": ("shapes",),
    "RenderingDef": ("waveRendering",),
}
"""The collections whose elements are nothing without what holds them."""
WITH_IT: dict[str, tuple[str, ...]] = {
    "WellSample": ("image",),
    "FilesetEntry": ("originalFile",),
    "FileAnnotation": ("file",),
    "Channel": ("logicalChannel", "statsInfo"),
}
"""What an object takes along unless somebody else refers to it."""
ALONE = frozenset({"FileAnnotation", "CommentAnnotation", "MapAnnotation", "LongAnnotation", "DoubleAnnotation",
                   "BooleanAnnotation", "TimestampAnnotation", "XmlAnnotation", "ListAnnotation"})  # fmt: skip
"""Annotations that nobody shares by nature: they go with the last object that they describe."""


def delete(call: Call, roots: list[Row]) -> list[Row]:
    """Take objects away with all that is theirs; everything that went, in the order it went.

    Raises:
        Denied: the caller may not delete one of them.
        BadData: something that stays refers to one of them.
    """
    going = closure(call.graph, roots)
    for row in going:
        if row.owner is not None:
            call.may("delete", row)
    for row in going:
        for name, holder in call.graph.holders(row):
            if holder in going:
                continue
            field = call.graph.schema.fields(holder.of)[name]
            if not field.nullable:
                raise BadData(f"{row} cannot be deleted: {holder} refers to it as {name}")
            call.graph.put(holder, name, None)
    for row in going:
        call.graph.remove(row)
    return list(going)


def closure(graph: Graph, roots: list[Row]) -> dict[Row, None]:
    """The objects and all that goes with them, what depends on others first."""
    going: dict[Row, None] = {}
    left = list(roots)
    while left:
        row = left.pop()
        if row in going:
            continue
        going[row] = None
        for of in graph.schema.lineage(row.of):
            for name in OWNED.get(of, ()):
                left += graph.collection(row, name)
            for name in WITH_IT.get(of, ()):
                if (other := row[name]) is not None and _is_only_here(graph, other, going):
                    left.append(other)
        for _, holder in graph.holders(row):
            if graph.schema.of(holder.of).is_link:
                left.append(holder)
                child = holder["child"]
                if (
                    row is holder["parent"]
                    and child.of in ALONE
                    and _is_only_here(graph, child, {**going, holder: None})
                ):
                    left.append(child)
    return dict(reversed(list(going.items())))


def _is_only_here(graph: Graph, row: Row, going: dict[Row, None]) -> bool:
    holders = [holder for _, holder in graph.holders(row) if holder not in going]
    return not [holder for holder in holders if not _is_its_part(graph, row, holder)]


def _is_its_part(graph: Graph, row: Row, holder: Row) -> bool:
    """Whether what refers to the object would go with it."""
    for of in graph.schema.lineage(row.of):
        for name in OWNED.get(of, ()):
            if holder in graph.collection(row, name):
                return True
    if not graph.schema.of(holder.of).is_link:
        return False
    return bool(holder["parent"] is row)
