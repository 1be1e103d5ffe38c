"""One import at a server: what is announced of it, with what the mesh adds, and a connection in its owner's name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import msgspec

from ..import_outline import ImportOutline
from ..local.names import checked_id
from ..repository import StoredFileset
from .added_files import AddedFiles
from .companion import Companion, with_companions
from .connection import Connection
from .errors import OmeroError
from .imports import OmeroImports
from .uploads import Uploads


class AnnouncedImport:
    """What the calls of one import have in common."""

    def __init__(self, imports: OmeroImports, outline: ImportOutline) -> None:
        """Stand for what the outline says.

        Raises:
            BadName: the import's id cannot be one.
        """
        self._imports = imports
        self._outline = outline
        self.key = f"{imports.origin}/{checked_id(outline.import_id)}"

    @property
    def announced(self) -> ImportOutline:
        """The outline with what is added to its filesets."""
        return self._announced[0]

    @cached_property
    def added(self) -> AddedFiles:
        """What that is."""
        return AddedFiles(self._announced[1].values(), self._imports.checksum)

    def told(self, number: int, filesets: Sequence[StoredFileset]) -> StoredFileset:
        """A fileset with the plates that the server was told of, where it was not left to find them itself."""
        companion, planned = self._announced[1].get(number), filesets[number]
        return planned if companion is None else msgspec.structs.replace(planned, plates=companion.plates)

    @property
    def not_shown(self) -> tuple[str, ...]:
        """What the server was not told of, in sentences."""
        plates = [plate for companion in self._announced[1].values() for plate in companion.plates if plate.notes]
        return tuple(
            f"plate {one.name} in OMERO lacks what is stored with it: {'; '.join(one.notes)}" for one in plates
        )

    @contextmanager
    def connected(self, *, lasting: bool = False) -> Iterator[tuple[Connection, Uploads]]:
        """A connection in the owner's name, for one thread at a time, and the uploads through it.

        One that is ``lasting`` is kept for as long as there are uploads.

        Raises:
            OmeroAwaitsLogin: nobody may act before the owner's next login.
            OmeroPlacesTaken: other imports of the owner have the connections that there may be.
            OmeroError: the server cannot be reached.
        """
        under_way = self._imports.under_way(self._outline)
        with under_way.using:
            held = under_way.held
            try:
                connection = self._imports.connected(self._outline, under_way, lasting=lasting)
                yield (
                    connection,
                    Uploads(
                        self._imports,
                        self._outline,
                        connection,
                        under_way,
                        key=self.key,
                        announced=lambda: self.announced,
                    ),
                )
            except OmeroError as error:
                self._imports.broken(under_way, error)
                raise
            finally:
                # No upload was begun by one that was opened now, for a question.
                keep = lasting or (held is not None and under_way.held is held)
                if not under_way.uploads or not keep:
                    # Nothing at the server hangs on it.
                    under_way.let_go()
                else:
                    self._imports.paused(under_way)

    @cached_property
    def _announced(self) -> tuple[ImportOutline, dict[int, Companion]]:
        # When it is first wanted, in a thread: of a large plate it takes a second.
        return with_companions(self._outline, self.key)
