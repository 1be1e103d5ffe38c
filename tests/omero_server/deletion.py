"""What goes with an object when it is deleted or moved, and what stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from omero_server.call import Call
from omero_server.graph import Graph, Row
from omero_server.raw_files import path_of
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
CONTAINED = ("ProjectDatasetLink", "DatasetImageLink", "ScreenPlateLink", "FilesetJobLink", "JobOriginalFileLink")
"""The links whose children go with the last parent, as annotations do."""


@dataclass(frozen=True)
class Choice:
    """What a client wants to go along in any case, and what it wants kept."""

    included: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()


def delete(call: Call, roots: list[Row], choice: Choice = Choice()) -> list[Row]:
    """Take objects away with all that is theirs; everything that went.

    Raises:
        Denied: the caller may not delete one of them.
        BadData: something that stays refers to one of them.
    """
    going = whole(call.graph, roots, choice)
    for row in going:
        if row.owner is not None:
            call.may("delete", row)
    for row in going:
        _let_go(call.graph, row, going)
    for row in going:
        call.graph.remove(row)
    return list(going)


def remove_files(call: Call, gone: Iterable[Row]) -> None:
    """Take away what the objects that went had on disk."""
    folder = call.server.folder
    for row in gone:
        if row.of == "OriginalFile":
            path_of(call.server, row).unlink(missing_ok=True)
        elif row.of == "Pixels":
            (folder / "Pixels" / str(row.id)).unlink(missing_ok=True)
            (folder / "Planes" / f"{row.id}.json").unlink(missing_ok=True)


def whole(graph: Graph, roots: list[Row], choice: Choice) -> dict[Row, None]:
    """The objects and all that goes with them, what depends on others first.

    Raises:
        BadData: a fileset would be torn apart.
    """
    going = _closure(graph, roots, choice)
    filesets = {row["fileset"]: None for row in going if row.of == "Image" and row["fileset"] is not None}
    for fileset in filesets:
        staying = [one for one in graph.collection(fileset, "images") if one not in going]
        if staying:
            raise BadData(f"within {fileset} {staying[0]} would stay behind while others go")
    return _closure(graph, [*roots, *filesets], choice) if filesets else going


def _closure(graph: Graph, roots: list[Row], choice: Choice) -> dict[Row, None]:
    going: dict[Row, None] = {}
    left, undecided = list(roots), dict[Row, None]()
    while left:
        row = left.pop()
        if row not in going:
            going[row] = None
            owned, maybe = _below(graph, row)
            left += owned
            undecided.update(dict.fromkeys(maybe))
        if not left:
            # Only now is it known what else holds them: two links may go of which each alone would keep it.
            left = [one for one in undecided if one not in going and _goes(graph, one, going, choice)]
    return dict(reversed(list(going.items())))


def _below(graph: Graph, row: Row) -> tuple[list[Row], list[Row]]:
    """What is nothing without the object, and what goes if nobody else holds it."""
    owned, maybe = [], []
    for of in graph.schema.lineage(row.of):
        for name in OWNED.get(of, ()):
            owned += graph.collection(row, name)
        maybe += [row[name] for name in WITH_IT.get(of, ()) if row[name] is not None]
    for name, holder in graph.holders(row):
        if graph.schema.of(holder.of).is_link:
            owned.append(holder)
            if name == "parent" and (holder.of in CONTAINED or holder.of.endswith("AnnotationLink")):
                maybe.append(holder["child"])
    return owned, maybe


def _goes(graph: Graph, row: Row, going: dict[Row, None], choice: Choice) -> bool:
    """Whether what goes takes the object along."""
    kinds = frozenset(graph.schema.lineage(row.of))
    if kinds & choice.excluded:
        return False
    if kinds & choice.included:
        return True
    return all(holder in going or _is_its_part(graph, row, holder) for _, holder in graph.holders(row))


def _is_its_part(graph: Graph, row: Row, holder: Row) -> bool:
    """Whether what refers to the object would go with it."""
    if holder["parent"] is row:
        return True
    return any(
        holder in graph.collection(row, name) for of in graph.schema.lineage(row.of) for name in OWNED.get(of, ())
    )


def _let_go(graph: Graph, row: Row, going: dict[Row, None]) -> None:
    for name, holder in graph.holders(row):
        if holder in going:
            continue
        if not graph.schema.fields(holder.of)[name].nullable:
            raise BadData(f"{row} cannot be deleted: {holder} refers to it as {name}")
        graph.put(holder, name, None)
