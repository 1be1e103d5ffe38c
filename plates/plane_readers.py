"""Which reader opens a plane: the one for the scheme of its plate's root, and the disk's where it has none."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from .errors import UnreadableImage
from .pixels import read_plane
from .plate_source import Plane, PlaneReader


@runtime_checkable
class Counting(Protocol):
    """A reader that counts."""

    def counts(self) -> dict[str, int | float | str]:
        """What an actor's statistics are to tell."""


_READERS = {
    "http": (".http_plates", "planes_of_this_process"),
    "https": (".http_plates", "planes_of_this_process"),
    "omero": (".omero.planes", "planes_of_this_process"),
}
"""Module and name of what makes each scheme's reader; it is loaded with the first plane that it reads."""

_counting: dict[str, Counting] = {}
"""The readers of this process that count what they read, by scheme."""

_HERE_ONLY = ("omero",)
"""Read in people's sessions, whose keys do not leave the mesh's own host."""


def plane_counts() -> dict[str, int | float | str]:
    """Where the planes came from that were read in this process, by the readers that count them."""
    counted: dict[str, int | float | str] = {}
    for reader in list(_counting.values()):
        counted |= reader.counts()
    return counted


def is_read_here_only(root: str) -> bool:
    """Whether the planes of a plate are read on the mesh's own host alone, and on no node that has joined."""
    return root.partition("://")[0] in _HERE_ONLY


def read_any_plane(root: str, file: str, page: int = 0, *, out: Plane | None = None, requester: str = "") -> Plane:
    """One plane (Y, X) of a plate, wherever the plate lies; into ``out`` where given.

    Raises:
        NoLongerAsImported: the file was imported in place, and is another one by now, or has changed.
        UnreadableImage: the plane is absent or damaged, or nothing here reads plates at such an address.
        MeshError: another one, where the plate's place cannot be reached.
    """
    scheme, mark, _ = root.partition("://")
    if not mark or "/" in scheme:
        return read_plane(Path(root), file, page, out=out)
    return _reader(scheme)(root, file, page, out=out, requester=requester)


@cache
def _reader(scheme: str) -> PlaneReader:
    if scheme not in _READERS:
        raise UnreadableImage(
            f"nothing here reads planes of plates at {scheme}:// addresses",
            hint="Was the plate listed by a newer hcs-mesh?",
        )
    module, name = _READERS[scheme]
    reader: PlaneReader = getattr(importlib.import_module(module, __package__), name)()
    if isinstance(reader, Counting):
        _counting[scheme] = reader
    return reader
