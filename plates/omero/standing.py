"""How far an import is, by the filesets that a server has of it (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..import_outline import ImportOutline
from ..repository import ImportStanding, PartialFile, StoredFileset
from .client_paths import client_path


class FiledFile(NamedTuple):
    """One file of a fileset, as the server has it; without a size and a hash until its upload was closed."""

    id: int
    path: str
    name: str
    size: int | None
    hash: str


class FiledFileset(NamedTuple):
    """One fileset of an import: what was uploaded of it, and what the server has made of it."""

    id: int
    number: int
    files: Mapping[str, FiledFile]
    """By the path under which each was announced."""
    handed_over: bool
    """Whether the server has taken the upload for whole, and began to make images of it."""
    image_ids: tuple[int, ...]
    plate_ids: tuple[int, ...]
    finished: bool
    """Whether the images are there, and the server knows which of the file's each of them is."""


def furthest(found: Sequence[FiledFileset], number: int, *, own_file: int = 0) -> FiledFileset | None:
    """Of the filesets that crashes may have left of one, the one that is furthest.

    Among those that are equally far it is the one with ``own_file``, the first file of an upload under way, else the
    oldest: what somebody had asked for who is dead by now may have come after the one that is being filled.
    """

    def how_far(one: FiledFileset) -> tuple[bool, bool, bool, bool, int]:
        own = any(file.id == own_file for file in one.files.values())
        return one.finished, bool(one.image_ids), one.handed_over, own, -one.id

    return max((one for one in found if one.number == number), key=how_far, default=None)


def furthest_of_each(found: Sequence[FiledFileset], outline: ImportOutline) -> tuple[FiledFileset, ...]:
    """One fileset for each of the outline's of which there is any."""
    best = (furthest(found, number) for number in range(len(outline.filesets)))
    return tuple(one for one in best if one is not None)


def is_finished(found: Sequence[FiledFileset], outline: ImportOutline) -> bool:
    """Whether the server has made images of every fileset of the outline, of which there must be one."""
    best = furthest_of_each(found, outline)
    return len(best) == len(outline.filesets) > 0 and all(one.finished for one in best)


def standing(found: Sequence[FiledFileset], outline: ImportOutline) -> ImportStanding:
    """What a repository says of an import."""
    best = furthest_of_each(found, outline)
    complete, partial, n_bytes = [], [], 0
    for fileset in best:
        for path in outline.filesets[fileset.number].files:
            file = fileset.files.get(client_path(outline.root, path))
            # Of the import's own files: what the mesh adds is none of them.
            n_bytes += (file.size or 0) if file is not None else 0
            if file is not None and file.hash:
                complete.append(path)
            elif file is not None and file.size:
                partial.append(PartialFile(path=path, size=file.size))
    return ImportStanding(
        import_id=outline.import_id,
        registered=is_finished(found, outline),
        plate_ids=plate_ids(best),
        complete=tuple(sorted(complete)),
        partial=tuple(sorted(partial, key=lambda file: file.path)),
        n_bytes=n_bytes,
    )


def plate_ids(filesets: Sequence[FiledFileset]) -> tuple[int, ...]:
    """The plates of filesets, oldest first."""
    return tuple(sorted({plate for one in filesets for plate in one.plate_ids}))


def names(fileset: FiledFileset, planned: StoredFileset, name: str) -> dict[int, str]:
    """The names that a fileset's plates are to have; empty where OMERO's own stays.

    A name was given for a single plate, or as the beginning of several: how the plan has it, if it is of one plate.
    """
    if not name or len(fileset.plate_ids) != 1:
        return dict.fromkeys(fileset.plate_ids, "")
    return {fileset.plate_ids[0]: planned.plates[0].name if len(planned.plates) == 1 else name}
