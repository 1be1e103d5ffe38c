"""Imports into an OMERO.server as a mesh makes all of its own, and what the server has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..import_outline import ImportOutline
from ..local.names import checked_id
from ..model import PlateSummary
from ..repository import SourceFile, Taken
from .address import Person
from .away import why_away
from .client_paths import client_path
from .connection import Connection
from .filed_imports import filed
from .import_into import OmeroImport
from .imports import OmeroImports
from .person import InTheNameOf
from .source import OmeroSource
from .standing import FiledFileset


class OmeroImportStore:
    """Hands each import out as what its owner may do."""

    kind = "omero"

    def __init__(self, imports: OmeroImports, source: OmeroSource) -> None:
        """Import by ``imports``, and list the plates of ``source``."""
        self._imports = imports
        self._source = source

    def for_import(self, outline: ImportOutline) -> OmeroImport:
        """One import, in its owner's name."""
        return OmeroImport(self._imports, outline)

    def import_ids(self) -> frozenset[str]:
        """None: each is its owner's, and nobody may look for all. Numbers that begin anew have a new origin."""
        return frozenset()

    def links_into(self, folder: str) -> Mapping[str, str]:
        """None: the server has them, and does not tell which they are."""
        return {}

    def has_in_place(self, files: Sequence[SourceFile]) -> str:
        """None: as with ``links_into``."""
        return ""

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        """List every plate that this person may see.

        Raises:
            OmeroError, PlaceRefused: as the source of the plates says.
        """
        return self._source.plates(requester)

    def taken(self, import_id: str, *, owner: str = "", root: str = "") -> Taken:
        """Say what the server has of an import that ``owner`` had made of the folder ``root``.

        Raises:
            OmeroAwaitsLogin: nobody may ask before the owner's next login.
            OmeroError: the server refuses or cannot be reached.
        """
        key = f"{self._imports.origin}/{checked_id(import_id)}"

        def ask(connection: Connection) -> tuple[FiledFileset, ...]:
            return filed(connection, key)

        found = InTheNameOf(Person(user=owner), self._imports.identities).read(ask)
        said = {path: file.size or 0 for fileset in found for path, file in fileset.files.items()}
        above = client_path(root, "")
        below = {path.removeprefix(above): size for path, size in said.items() if path.startswith(above)}
        return Taken(bool(found) and all(one.finished for one in found), below)

    def away(self, person: str = "", *, sends: str = "") -> str:
        """Why nothing can be done in a person's name now, or no files of the import that ``sends`` them; or empty."""
        return why_away(self._imports.identities, person) or (sends and self._imports.why_full(person, sends))

    def leave_off(self) -> None:
        """Wait no longer for what a server was left at."""
        self._imports.leave_off()

    def close(self) -> None:
        """Let go of every import; each goes on where it stands when it is taken up again."""
        self._imports.close()
