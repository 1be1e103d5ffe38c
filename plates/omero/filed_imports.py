"""What a server keeps of an import, found by the id that was stored with each of its filesets in the same save."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .connection import Connection
from .errors import OmeroFailed
from .standing import FiledFile, FiledFileset
from .waiting import response_of

NAMESPACE = "hcs-mesh/import"
MARK, FILESET = "mark", "fileset"

_MARKS = """
select a.id from MapAnnotation a join a.mapValue kv
where a.ns = :ns and kv.name = :name and kv.value = :value and a.details.owner.id = :owner
"""
_NUMBERS = "select a.id, kv.value from MapAnnotation a join a.mapValue kv where a.id in (:ids) and kv.name = :name"
_MARKED = """
select link.parent.id, link.child.id from FilesetAnnotationLink link
where link.child.id in (:ids) and link.parent.details.owner.id = :owner order by link.parent.id
"""
_FILES = """
select fse.fileset.id, fse.clientPath, orig.id, orig.path, orig.name, orig.size, orig.hash
from FilesetEntry fse join fse.originalFile orig where fse.fileset.id in (:ids) order by fse.id
"""
_JOBS = "select link.parent.id, link.child.id from FilesetJobLink link where link.parent.id in (:ids)"
_UPLOADED = "select job.id from UploadJob job where job.id in (:ids) and job.status.value = :status"
_IMAGES = """
select fs.id, img.id, img.series from Image img join img.fileset fs where fs.id in (:ids) order by img.id
"""
_PLATES = """
select distinct fs.id, plate.id from Plate plate join plate.wells well join well.wellSamples ws
 join ws.image img join img.fileset fs where fs.id in (:ids) order by plate.id
"""
_FINISHED = "Finished"
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def mark(connection: Connection, key: str, number: int) -> Any:
    """The annotation that tells a fileset from every other; to be linked to it before it is saved."""
    model, rtypes = connection.library.omero.model, connection.library.rtypes
    annotation = model.MapAnnotationI()
    annotation.setNs(rtypes.rstring(NAMESPACE))
    annotation.setMapValue([model.NamedValue(MARK, key), model.NamedValue(FILESET, str(number))])
    return annotation


def filed(connection: Connection, key: str) -> tuple[FiledFileset, ...]:
    """Every fileset of one import that its owner has, oldest first.

    A mark without a number that the mesh may have written is none: people can edit it, and its fileset is theirs.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    owner = int(connection.event_context().userId)
    marks = [row[0] for row in connection.rows(_MARKS, ns=NAMESPACE, name=MARK, value=key, owner=owner)]
    if not marks:
        return ()
    marked: dict[int, int] = {row[0]: row[1] for row in connection.rows(_MARKED, ids=marks, owner=owner)}
    if not marked:
        return ()
    said: dict[int, str | None] = {row[0]: row[1] for row in connection.rows(_NUMBERS, ids=marks, name=FILESET)}
    numbers = {number: int(value) for number, value in said.items() if value and _NUMBER.fullmatch(value)}
    ids = sorted(one for one in marked if marked[one] in numbers)
    if not ids:
        return ()
    files: dict[int, dict[str, FiledFile]] = {}
    for fileset_id, announced, file_id, path, name, size, hashed in connection.rows(_FILES, ids=ids):
        files.setdefault(fileset_id, {})[announced] = FiledFile(file_id, path, name, size, hashed or "")
    uploaded = _handed_over(connection, ids)
    images = _by_fileset(connection.rows(_IMAGES, ids=ids))
    plates = _by_fileset(connection.rows(_PLATES, ids=ids))
    return tuple(
        FiledFileset(
            id=one,
            number=numbers[marked[one]],
            files=files.get(one, {}),
            handed_over=one in uploaded,
            image_ids=tuple(image for image, _ in images.get(one, ())),
            plate_ids=tuple(plate for (plate,) in plates.get(one, ())),
            # The series are told in a later step than the images, without which nobody reads their pixels.
            finished=bool(images.get(one)) and all(series is not None for _, series in images[one]),
        )
        for one in ids
    )


def remove(connection: Connection, filesets: Sequence[FiledFileset]) -> None:
    """Take filesets away, with their files and whatever was made of them.

    Raises:
        OmeroFailed: the server could not.
        OmeroError: the server refuses or cannot be reached.
    """
    # A plate takes its images and their fileset along; an image in its wells goes with nothing else.
    plates = sorted({plate for one in filesets for plate in one.plate_ids})
    if plates:
        _delete(connection, "Plate", plates)
    alone = [one.id for one in filesets if not one.plate_ids]
    if alone:
        _delete(connection, "Fileset", alone)


def _delete(connection: Connection, kind: str, ids: list[int]) -> None:
    command = connection.library.omero.cmd
    with connection.calling():
        request = command.Delete2(targetObjects={kind: ids})
        handle = connection.session.submit(request, {"omero.group": "-1"})
    answer = response_of(connection, handle)
    if isinstance(answer, command.ERR):
        raise OmeroFailed(
            f"OMERO at {connection.address} does not remove an upload that was given up: {answer.name} "
            f"{answer.parameters.get('message', '')}.",
            hint=f"Remove {kind}:{ids[0]} there, or ask its administrator.",
        )


def _handed_over(connection: Connection, ids: list[int]) -> set[int]:
    jobs: dict[int, int] = {row[1]: row[0] for row in connection.rows(_JOBS, ids=ids)}
    if not jobs:
        return set()
    return {jobs[row[0]] for row in connection.rows(_UPLOADED, ids=sorted(jobs), status=_FINISHED)}


def _by_fileset(rows: Sequence[Sequence[Any]]) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for fileset_id, *rest in rows:
        found.setdefault(fileset_id, []).append(tuple(rest))
    return found
