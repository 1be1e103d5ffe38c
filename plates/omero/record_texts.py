"""What the description of a well's record says (pure)."""

from __future__ import annotations

import msgspec

from ..repository import StoredResult


class BadRecord(ValueError):
    """The description is none that the mesh writes: its owner may edit it."""


def record_text(result: StoredResult) -> str:
    """A result as the description of its record."""
    return msgspec.json.encode(msgspec.structs.replace(result, folder="")).decode()


def parse_record(text: str) -> StoredResult:
    """The result that a record tells of.

    Raises:
        BadRecord: it is no result.
    """
    try:
        return msgspec.json.decode(text, type=StoredResult)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRecord(str(error)) from error
