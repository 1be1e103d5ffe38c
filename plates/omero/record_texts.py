"""What the description of a well's record says, believed only where the mesh may have written it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..local.errors import BadName
from ..local.names import checked_path, well_folder
from ..pixels import MAX_PLANE_BYTES
from ..repository import ResultFile, StoredResult
from .result_keys import ResultKey

MOST = 2**31 - 1
"""What counts and places within a plate stay below."""
MOST_ID = 2**63 - 1
MOST_BYTES = 64 * 2**30
"""Of all files of a well."""
DTYPES = frozenset(
    {"", "bool", "float16", "float32", "float64", *(f"{u}int{8 * size}" for u in ("", "u") for size in (1, 2, 4, 8))}
)


class BadRecord(ValueError):
    """The description is none that the mesh writes of this well: its owner may edit it."""


def record_text(result: StoredResult) -> str:
    """A result as the description of its record."""
    return msgspec.json.encode(msgspec.structs.replace(result, folder="")).decode()


def parse_record(text: str, *, name: str, job: str, origin: str = "") -> StoredResult:
    """The result that a record of this name tells of.

    Raises:
        BadRecord: it is no result, one of another well, plate or job, or has a file of a path or size that none has.
    """
    try:
        result = msgspec.json.decode(text, type=StoredResult)
        well_folder(result.well)
        for file in result.files:
            checked_path(file.path)
    except (msgspec.MsgspecError, RecursionError, BadName) as error:
        raise BadRecord(str(error)) from error
    key = ResultKey(origin=origin, job=result.job, plate_id=result.plate_id, well=result.well)
    if (result.job, key.text) != (job, name):
        raise BadRecord(f"it tells of well {result.well!r} of plate {result.plate_id} of job {result.job!r}")
    for said, most in _numbers(result):
        if not 0 <= said <= most:
            raise BadRecord(f"{said} is more than there can be, or less")
    if any(file.dtype not in DTYPES for file in result.files):
        raise BadRecord("pixels are of no known type")
    return msgspec.structs.replace(result, folder="")


def _numbers(result: StoredResult) -> Iterator[tuple[int, int]]:
    """Every number, and the most it can be."""
    yield from ((result.plate_id, MOST_ID), (result.attempt, MOST), (result.n_objects, MOST))
    for file in result.files:
        yield from ((number, MOST) for number in (file.field, file.c, file.z, file.t, file.height, file.width))
        yield file.height * file.width, MAX_PLANE_BYTES
        yield file.size, MOST_BYTES
    yield _n_bytes(result.files), MOST_BYTES


def _n_bytes(files: tuple[ResultFile, ...]) -> int:
    return sum(file.size for file in files)
