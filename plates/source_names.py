"""Names of sources: what a file may be called to be stored, listed and sent (pure)."""

from __future__ import annotations

from .errors import BadSourceName

HELD_FOLDER = ".hcs-mesh-held"
"""The name of a folder of links to held sources: nobody's data, and passed by wherever it lies."""


def check_source_name(path: str) -> None:
    """Refuse a name whose bytes are no UTF-8, which the operating system lets pass and no message carries.

    Raises:
        BadSourceName: it cannot be written as text.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise BadSourceName(
            f"the name of {path!r} is not UTF-8 text: the characters written as '\\udc..' are single bytes",
            hint="Rename the file or folder, for example with 'convmv' or 'mv', and import it again; or leave out the "
            "folder that it lies in with --exclude.",
        ) from error
