"""Imports into an OMERO.server, each in the name of the person who asked for it: once, through any crash."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..checksums import Algorithm
from ..import_outline import ImportOutline
from .address import Person
from .apart import Apart
from .connection import Connection, close_quietly
from .errors import BROKEN, OmeroAwaitsLogin, OmeroError, OmeroSessionEnded
from .identities import Identities
from .pool import ConnectionPool
from .upload_process import UploadProcess
from .whose_session import AwaitLogin

MOST_SESSIONS = 3
"""The person's own, a minted one, and one more: either may turn out to be over."""
N_THREADS = 4
PATIENCE_S = 900.0
GIVES_WAY_S = 600.0
"""After so long without a call the place of an import goes to another of its owner's that waits for one."""


class UnderWay:
    """What this process holds of one import: a connection of its own, and the uploads that are not whole."""

    def __init__(self) -> None:
        self.using = threading.Lock()
        self.held: tuple[ConnectionPool, Apart] | None = None
        """A connection of this import alone, and of whose places it has one."""
        self.uploads: dict[int, UploadProcess] = {}
        self.refused: set[int] = set()
        """The filesets of which the server could make no images."""

    def let_go(self) -> None:
        """Close the connection; what the session holds of the import stays there."""
        held, self.held = self.held, None
        if held is not None:
            held[1].close()


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

    def connected(self, outline: ImportOutline, under_way: UnderWay, *, lasting: bool) -> Connection:
        """The connection of an import, in its owner's name; ``lasting`` where it is for files and images.

        Raises:
            OmeroAwaitsLogin: nobody may act for the owner before the next login.
            OmeroPlacesTaken: other imports of the owner have the connections that there may be.
            OmeroError: the server cannot be reached.
        """
        if under_way.held is None or not under_way.held[0].take_up(under_way.held[1]):
            # Its own, and kept: the server may drop an upload with the last connection of its session. Where its place
            # went to another, files may have to be sent again: the server opens no more of them by another connection.
            under_way.held = self._opened(outline, lasting=lasting)
        return under_way.held[1].connection

    def paused(self, under_way: UnderWay) -> None:
        """Take note that nothing is asked for an import just now: after long its place goes to who waits for one."""
        if under_way.held is not None:
            pool, apart = under_way.held
            pool.rest(apart, after_s=GIVES_WAY_S)

    def given_up(self, outline: ImportOutline) -> None:
        """Take note that an import has failed: what it holds stays for as long as nobody else needs the place."""
        with self._looking:
            under_way = self._under_way.get((outline.owner, outline.import_id))
        # Not waited for: a thread that a source keeps may never come back.
        if under_way is not None and under_way.using.acquire(blocking=False):
            try:
                if under_way.held is not None:
                    pool, apart = under_way.held
                    pool.rest(apart)
            finally:
                under_way.using.release()

    def why_full(self, owner: str, import_id: str) -> str:
        """Why files of an import cannot be sent now; empty where they can, as where it has its place already."""
        with self._looking:
            under_way = self._under_way.get((owner, import_id))
        held = under_way.held if under_way is not None else None
        if held is not None and held[1].stands:
            return ""
        try:
            pool = self.identities.pool(Person(user=owner))
        except OmeroError as error:
            return str(error)
        return "" if isinstance(pool, AwaitLogin) else pool.lasting_taken()

    def _opened(self, outline: ImportOutline, *, lasting: bool) -> tuple[ConnectionPool, Apart]:
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
                return pool, pool.apart(lasting=lasting)
            except OmeroSessionEnded:
                self.identities.found_ended(person, pool)
        raise OmeroSessionEnded(
            f"Each session of {outline.owner} at OMERO is over as soon as it is used.",
            hint="Look at the server's settings of session time-outs.",
        )

    def broken(self, under_way: UnderWay, error: OmeroError) -> None:
        """Take note of how a call failed: the next one opens another connection where this one is of no more use."""
        if isinstance(error, BROKEN) and under_way.held is not None:
            (_, apart), under_way.held = under_way.held, None
            apart.leave()
            # It may wait for a server that does not answer.
            threading.Thread(target=close_quietly, args=(apart.connection,), name="omero-closing", daemon=True).start()

    def leave_off(self) -> None:
        """Wait no longer for what a server was left at: the mesh stops, and its next life waits for that again."""
        self.stopping.set()

    def close(self) -> None:
        """Let go of every import; each goes on where it stands when it is taken up again."""
        with self._looking:
            held, self._under_way = list(self._under_way.values()), {}
        for under_way in held:
            under_way.let_go()
