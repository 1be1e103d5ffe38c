"""Names and times of sources: what a file may be called, and be dated, to be stored, listed and sent (pure)."""

from __future__ import annotations

from .errors import BadSourceName, BadSourceTime

HELD_FOLDER = ".hcs-mesh-held"
"""The name of a folder of links to held sources: nobody's data, and passed by wherever it lies."""

DEEPEST = 200
"""Folders below each other in a source: no acquisition has as many, and whatever walks through folders, planner and
removal too, is as deep in its own calls, of which Python has a thousand."""

LAST_NS = (1 << 63) - 1
"""The latest time of a file, in April 2262: a catalogue counts nanoseconds up to here, and as far back before 1970."""

_SHOWN = 60


IN_TRANSIT = ".part"
"""What the name of a file ends in that is not complete yet: the repository's own are called so, and no source's."""


def check_source_name(path: str) -> None:
    """Refuse a name whose bytes are no UTF-8, which the operating system lets pass and no message carries.

    Raises:
        BadSourceName: it cannot be written as text, or lies too deep.
    """
    if path.count("/") > DEEPEST:
        raise BadSourceName(
            f"{path[:_SHOWN]!r}... lies more than {DEEPEST} folders deep",
            hint="Move what is needed of it further up, or leave the folder out with --exclude.",
        )
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise BadSourceName(
            f"the name of {path!r} is not UTF-8 text: the characters written as '\\udc..' are single bytes",
            hint="Rename the file or folder, for example with 'convmv' or 'mv', and import it again; or leave out the "
            "folder that it lies in with --exclude.",
        ) from error


def check_source_time(path: str, mtime_ns: int) -> None:
    """Refuse a time that no clock has told, and that no catalogue or message counts to.

    Raises:
        BadSourceTime: it lies beyond the years 1677 to 2262.
    """
    if not -LAST_NS <= mtime_ns <= LAST_NS:
        years = mtime_ns / 1e9 / 31_556_952
        raise BadSourceTime(
            f"{path} was written in the year {1970 + years:.0f}, by its time",
            hint="Give it a time that can be, for example with 'touch', or leave it out with --exclude.",
        )
