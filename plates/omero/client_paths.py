"""What the files of a fileset are called when OMERO is told of them, and which of them its reader opens (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..local.errors import BadName

# The first file of a fileset is the one that the server's reader is given, as omero.grid.ImportLocation has it.
_OPENED = (
    # Before what a vendor wrote: where both are there, it was written since, to speak for all.
    re.compile(r"\.companion\.ome$"),
    re.compile(r"\.htd$"),
    re.compile(r"(^|/)index(\.idx|\.ref|\.flex)?\.xml$"),
    # A CellVoyager's measurement, which Bio-Formats knows by this file alone. Without it the records come first: they
    # are refused, where an image would be imported as if it were all there is.
    re.compile(r"\.wpi$"),
    re.compile(r"\.(mes|mlf)$"),
    re.compile(r"\.(vsi|mvd2|xdce|lei|scanprotocol|czi|lif|nd2)$"),
)
_NOT_TAKEN = re.compile(r'[\x00-\x1f"*:<>?\\|]')
_NOT_TAKEN_ABOVE = re.compile(r'[\x00-\x1f"*:<>?|]+')


def in_order(files: Sequence[str]) -> tuple[str, ...]:
    """The files of a fileset, the one that speaks for all first; then by depth and name."""

    def rank(path: str) -> tuple[int, int, str]:
        name = path.lower()
        speaks = next((n for n, one in enumerate(_OPENED) if one.search(name)), len(_OPENED))
        return speaks, path.count("/"), path

    return tuple(sorted(files, key=rank))


def client_path(root: str, path: str) -> str:
    """The name under which a file is announced: where it came from, as far as the server takes such names.

    Raises:
        BadName: a name below the root holds a character that OMERO does not keep.
    """
    if _NOT_TAKEN.search(path):
        raise BadName(
            f"{path!r} holds a character that OMERO does not keep in a name.",
            hint='Rename it; \\ : * ? " < > | and control characters are not kept.',
        )
    above = _NOT_TAKEN_ABOVE.sub("_", root.replace("\\", "/")).strip("/")
    return f"{above}/{path}" if above else path
