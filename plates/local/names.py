"""Which names may appear below the repository, and what they look like."""

from __future__ import annotations

import re

from ..source_names import IN_TRANSIT
from .errors import BadName

PART = IN_TRANSIT
"""What the name of a file in transit ends in."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_ATTEMPT = re.compile(r"\.(?P<well>[A-Z]+[0-9]+|image)\.(?P<attempt>[0-9]+)\.part")
_IMAGE = "image"


def checked_id(value: str) -> str:
    """Return an import or job id that is safe as a folder's name.

    Raises:
        BadName: it holds other characters than letters, digits, '_', '-' and '.'.
    """
    if not _ID.fullmatch(value):
        raise BadName(f"{value!r} is no id: letters, digits, '_', '-' and '.' make one, at most 128 of them.")
    return value


def checked_path(value: str) -> str:
    """Return a relative path that stays below the folder it is joined to.

    Raises:
        BadName: it is absolute, empty, climbs with '..', or ends like a file in transit.
    """
    # By hand: making a path object of each of many thousand names takes longer than looking at them.
    if not {"", ".", ".."}.isdisjoint(value.split("/")) or "\0" in value:
        raise BadName(f"{value!r} is no relative path below the import's folder.")
    if value.endswith(PART):
        raise BadName(f"{value!r} ends in {PART}, which marks files that are not complete yet.")
    return value


def well_folder(well: str) -> str:
    """The folder's name of one well's result: A01, or 'image' where there is no plate.

    Raises:
        BadName: the well is not written like A01.
    """
    if not well:
        return _IMAGE
    if not re.fullmatch(r"[A-Z]{1,3}[0-9]{2,4}", well):
        raise BadName(f"{well!r} is no well: wells are written like A01 or AA01.")
    return well


def attempt_folder(well: str, attempt: int) -> str:
    """The temporary name under which an attempt at a well writes its files."""
    return f".{well_folder(well)}.{attempt}{PART}"


def parse_attempt(name: str) -> tuple[str, int] | None:
    """The well and attempt that a temporary name stands for; None for other names."""
    found = _ATTEMPT.fullmatch(name)
    if found is None:
        return None
    well = found["well"]
    return ("" if well == _IMAGE else well, int(found["attempt"]))
