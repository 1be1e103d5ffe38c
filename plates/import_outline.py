"""What is settled of an import before its first byte moves: whose it is, and which files belong together (pure)."""

from __future__ import annotations

import msgspec

from .model import Plate


class OutlinedFileset(msgspec.Struct, frozen=True, kw_only=True):
    """Files that a repository which reads them itself has to take as one; paths are relative to the outline's root."""

    files: tuple[str, ...]
    planner: str = ""
    """Who knows what plates they make; empty where only the repository can tell."""
    plates: tuple[Plate, ...] = ()
    """What plates those are; the files of their images are relative to the outline's root."""
    misleads: bool = False
    """Whether readers fail over them that take what the microscope wrote at its word."""


class ImportOutline(msgspec.Struct, frozen=True, kw_only=True):
    """One import, as a repository has to know it that acts for people and makes the plates itself."""

    import_id: str
    owner: str = ""
    group: str = ""
    """The group of the owner that the plates are for; empty means the usual one."""
    root: str = ""
    """The folder that the files are relative to, as it is called where they come from."""
    filesets: tuple[OutlinedFileset, ...] = ()
