"""A finished well read back from OMERO: its files as an executor wrote them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..local.names import checked_path
from ..local.ome_tiff import write_ome_tiff
from ..repository import ResultFile, StoredResult
from .connection import Connection
from .errors import OmeroNothingThere
from .file_annotations import attached_file, read_file
from .image_plans import images_of
from .new_images import find_image
from .raw_planes import read_raw_plane
from .regions import read_labels
from .result_keys import FILE, LABELS, TABLE, ResultKey
from .saving import find_keyed
from .structure import Place
from .table_columns import without_ids
from .tables import read_table


def fetch_well(connection: Connection, key: ResultKey, result: StoredResult, folder: Path, *, group_id: int) -> None:
    """Write the files of a finished well into an empty folder.

    Tables hold the same headers and values as before and planes the same values, in files of their own writing; files
    are the same bytes.

    Raises:
        OmeroNothingThere: somebody has deleted a part of the result.
        OmeroWriteSpoilt: a file is not what was attached.
        BadName: a file would lie elsewhere than in the folder.
        RepositoryFull, RepositoryFailed: the disk refuses.
        OmeroError: the server refuses or cannot be reached.
    """
    planes = _places(connection, key, result, group_id)
    for file in result.files:
        path = folder / checked_path(file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.path in planes:
            place, c, z, t = planes[file.path]
            write_ome_tiff(path, read_raw_plane(connection, place, c=c, z=z, t=t), name=file.output)
        elif not _fetch_keyed(connection, msgspec.structs.replace(key, path=file.path), file, path, group_id):
            raise _gone(result, file)


def _fetch_keyed(connection: Connection, key: ResultKey, file: ResultFile, path: Path, group_id: int) -> bool:
    """Whether the file was found, as what it was written as."""
    if (attached := attached_file(connection, key, FILE, group_id=group_id)) is not None:
        read_file(connection, attached, path, size=file.size, group_id=group_id)
        return True
    if file.kind == "table" and (attached := attached_file(connection, key, TABLE, group_id=group_id)) is not None:
        columns = without_ids(read_table(connection, attached, group_id=group_id))
        with path.open("w", newline="", encoding="utf-8") as written:
            rows = csv.writer(written, delimiter="\t" if path.suffix == ".tsv" else ",")
            rows.writerow(column.header for column in columns)
            rows.writerows(zip(*(column.values for column in columns), strict=True))
        return True
    if file.kind == "label" and (found := find_keyed(connection, LABELS, key, group_id=group_id)):
        labels = read_labels(connection, found[0].id, (file.height, file.width))
        write_ome_tiff(path, labels, name=file.output, labels=True)
        return True
    return False


def _places(
    connection: Connection, key: ResultKey, result: StoredResult, group_id: int
) -> Mapping[str, tuple[Place, int, int, int]]:
    """Where each processed plane is, by its file."""
    places: dict[str, tuple[Place, int, int, int]] = {}
    for plan in images_of(result.files):
        image = find_image(connection, msgspec.structs.replace(key, path=plan.path), group_id=group_id)
        if image is None:
            continue
        place = Place(
            pixels_id=image.pixels_id,
            group_id=group_id,
            fileset_id=0,
            series=0,
            n_c=len(plan.channels),
            n_z=len(plan.zs),
            n_t=len(plan.ts),
            height=plan.height,
            width=plan.width,
            dtype=plan.dtype,
        )
        places |= {file.path: (place, c, z, t) for (c, z, t), file in plan.planes.items()}
    return places


def _gone(result: StoredResult, file: ResultFile) -> OmeroNothingThere:
    return OmeroNothingThere(
        f"{file.path} of well {result.well or 'image'} of job {result.job} is not in OMERO any more.",
        hint="Somebody has deleted it there: run the pipeline again.",
    )
