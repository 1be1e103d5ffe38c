"""Imports into an OMERO.server, each in the name of the person who asked for it: once, through any crash."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..checksums import Algorithm
from ..import_outline import ImportOutline
from .address import Person
from .connection import Connection, close_quietly
from .errors import BROKEN, OmeroAwaitsLogin, OmeroError, OmeroSessionEnded
from .identities import Identities
from .upload_process import UploadProcess
from .whose_session import AwaitLogin

MOST_SESSIONS = 3
"""The person's own, a minted one, and one more: either may turn out to be over."""
N_THREADS = 4
PATIENCE_S = 900.0


class UnderWay:
    """What this process holds of one import: a connection of its own, and the uploads that are not whole."""

    def __init__(self) -> None:
        self.using = threading.Lock()
        self.connection: Connection | None = None
        self.uploads: dict[int, UploadProcess] = {}
        self.refused: set[int] = set()
        """The filesets of which the server could make no images."""

    def let_go(self) -> None:
        """Close the connection; what the session holds of the import stays there."""
        connection, self.connection = self.connection, None
        if connection is not None:
            close_quietly(connection)


class OmeroImports:
    """Every import that is under way to one server."""

    def __init__(
        self,
        identities: Identities,
        *,
        origin: str,
        managed: Path | None = None,
        checksum: Algorithm = "sha1",
        n_threads: int = N_THREADS,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Import as ``identities`` allow; ``origin`` tells this mesh's imports from those of every other.

        ``managed`` is where the server's managed repository is mounted, for imports in place. ``patience_s`` is how
        long images are waited for of which the server was left making them by somebody who cannot tell any more.
        """
        self.identities = identities
        self.origin = origin
        self.managed = managed
        self.checksum: Algorithm = checksum
        self.n_threads = n_threads
        self.patience_s = patience_s
        self.stopping = threading.Event()
        self.sleep = sleep or self.stopping.wait
        self.clock = clock
        self._under_way: dict[tuple[str, str], UnderWay] = {}
        self._looking = threading.Lock()

    def under_way(self, outline: ImportOutline) -> UnderWay:
        """What is held of an import; nothing yet, of one that is new here."""
        with self._looking:
            # By its owner as well: a connection is never used in another's name.
            return self._under_way.setdefault((outline.owner, outline.import_id), UnderWay())

    def ended(self, outline: ImportOutline) -> None:
        """Hold nothing more of an import."""
        with self._looking:
            gone = self._under_way.pop((outline.owner, outline.import_id), None)
        if gone is not None:
            gone.let_go()

    def in_use(self) -> set[str]:
        """The names of the uploads that this process goes on with."""
        with self._looking:
            return {upload.identity for one in self._under_way.values() for upload in list(one.uploads.values())}

    def connected(self, outline: ImportOutline, under_way: UnderWay) -> Connection:
        """The connection of an import, in its owner's name.

        Raises:
            OmeroAwaitsLogin: nobody may act for the owner before the next login.
            OmeroError: the server cannot be reached.
        """
        if under_way.connection is None:
            # Its own, and kept: the server may drop an upload with the last connection of its session.
            under_way.connection = self._opened(outline)
        return under_way.connection

    def _opened(self, outline: ImportOutline) -> Connection:
        # Without the group: one session acts in any that its user is in, as each call says.
        person = Person(user=outline.owner)
        for _ in range(MOST_SESSIONS):
            pool = self.identities.pool(person)
            if isinstance(pool, AwaitLogin):
                raise OmeroAwaitsLogin(
                    f"Import {outline.import_id} waits for {outline.owner} to log in at OMERO: {pool.reason}.",
                    hint="It goes on by itself then.",
                )
            try:
                return pool.apart()
            except OmeroSessionEnded:
                self.identities.ended(person, pool)
        raise OmeroSessionEnded(
            f"Each session of {outline.owner} at OMERO is over as soon as it is used.",
            hint="Look at the server's settings of session time-outs.",
        )

    def broken(self, under_way: UnderWay, error: OmeroError) -> None:
        """Take note of how a call failed: the next one opens another connection where this one is of no more use."""
        if isinstance(error, BROKEN) and under_way.connection is not None:
            connection, under_way.connection = under_way.connection, None
            # It may wait for a server that does not answer.
            threading.Thread(target=close_quietly, args=(connection,), name="omero-closing", daemon=True).start()

    def leave_off(self) -> None:
        """Wait no longer for what a server was left at: the mesh stops, and its next life waits for that again."""
        self.stopping.set()

    def close(self) -> None:
        """Let go of every import; each goes on where it stands when it is taken up again."""
        with self._looking:
            held, self._under_way = list(self._under_way.values()), {}
        for under_way in held:
            under_way.let_go()
