"""The plan of an import: which filesets a source holds and what plates they are (pure)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..model import Plate
from .folder import Folder

THUMBNAIL = "a thumbnail, made again from the image when needed"
"""Why a vendor's thumbnails are left out."""


class PlannedFile(msgspec.Struct, frozen=True):
    """One file that will be stored byte for byte; ``path`` is relative to the plan's root."""

    path: str
    n_bytes: int


class LeftOut(msgspec.Struct, frozen=True):
    """One file that will not be stored, and why."""

    path: str
    reason: str


class Fileset(msgspec.Struct, frozen=True, kw_only=True):
    """Files that belong together and the plates they hold.

    ``root`` is the fileset's folder inside the source. The plates have id 0 and no root until a
    repository gives them theirs; the files of their images are relative to the plan's root. A fileset without plates
    is stored and not read; its notes say so. ``unended`` says in sentences which word of its microscope is not there
    that ends an acquisition. ``misleads`` says that readers fail which take what the microscope wrote at its word.
    """

    planner: str
    root: str
    files: tuple[PlannedFile, ...]
    plates: tuple[Plate, ...]
    notes: tuple[str, ...] = ()
    unended: tuple[str, ...] = ()
    misleads: bool = False

    @property
    def n_bytes(self) -> int:
        """Bytes of all the files together."""
        return sum(file.n_bytes for file in self.files)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What of a source will be stored, as which plates, and what will not.

    ``root`` is the absolute path of the folder that every file is relative to. ``pending`` says in sentences why, by
    the vendor's own metadata, the acquisition or its copy has not ended; it is empty where nothing speaks against it.
    """

    root: str = ""
    filesets: tuple[Fileset, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    pending: tuple[str, ...] = ()

    @property
    def plates(self) -> tuple[Plate, ...]:
        """The plates and images of every fileset."""
        return tuple(plate for fileset in self.filesets for plate in fileset.plates)

    @property
    def unended(self) -> tuple[str, ...]:
        """Which words of microscopes are not there that end an acquisition."""
        return tuple(why for fileset in self.filesets for why in fileset.unended)

    @property
    def n_files(self) -> int:
        """How many files will be stored."""
        return sum(len(fileset.files) for fileset in self.filesets)

    @property
    def n_bytes(self) -> int:
        """How many bytes will be stored."""
        return sum(fileset.n_bytes for fileset in self.filesets)


def still_due(source: str, n_declared: int, n_there: int, *, what: str = "image") -> tuple[str, ...]:
    """Why to wait for what a metadata file declares; nothing where all of it is there."""
    if n_there >= n_declared:
        return ()
    is_there = "is" if n_there == 1 else "are"
    return (f"{source} declares {n_declared} {what}{'s' if n_declared > 1 else ''} and {n_there} {is_there} there",)


def planned_files(folder: Folder, paths: Iterable[str]) -> tuple[PlannedFile, ...]:
    """These files of the folder with their sizes, each once, in the order of their paths."""
    return tuple(PlannedFile(path, folder.files[path]) for path in sorted(set(paths)))
