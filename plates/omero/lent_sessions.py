"""People's sessions in a process that holds none: each is asked for when it is needed, joined, and left as it is."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .address import LENT_S, LET_GO_S, OmeroAddress, Person, SessionKey
from .connection import Connection
from .errors import OmeroSessionEnded, OmeroUnreachable
from .joining import OpenConnection, connected_as
from .pool import ConnectionPool
from .turns import Turns
from .whose_session import AwaitLogin

T = TypeVar("T")
MOST_PEOPLE = 16
"""Whose connections a process keeps; those of who was asked for longest ago are closed first."""
# One that ended meanwhile, and one that ends just when it was lent.
_MOST_SESSIONS = 3


class _Lent:
    """A session that was lent, and its connections."""

    def __init__(self, key: SessionKey, pool: ConnectionPool, since_s: float) -> None:
        self.key = key
        self.pool = pool
        self.since_s = since_s


class LentSessions:
    """Reads as the person who asks, by connections of this process; a key is in memory and nowhere else."""

    def __init__(
        self,
        address: OmeroAddress,
        lend: Callable[[Person], SessionKey | AwaitLogin],
        *,
        n_connections: int = 4,
        lent_s: float = LENT_S,
        let_go_s: float = LET_GO_S,
        open_connection: OpenConnection = Connection,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``lend`` answers with a session that is alive and may be acted in, also where the one lent before may not.

        It is asked again after ``lent_s``; after ``let_go_s`` without that, connections are closed and the key is gone.
        """
        self._address = address
        self._lend = lend
        self._n_connections = n_connections
        self._lent_s = lent_s
        self._let_go_s = let_go_s
        self._open = open_connection
        self._clock = clock
        self._lock = threading.Lock()
        self._asking = Turns()
        self._lent: OrderedDict[Person, _Lent] = OrderedDict()
        self._timer: threading.Timer | None = None
        self._closed = False

    def read(self, person: Person, work: Callable[[Connection], T]) -> T | AwaitLogin:
        """Do what changes nothing in a person's name, in the next session where one turns out to be over.

        Raises:
            OmeroError: the server refuses or cannot be reached.
            MeshError: what lending a session raises.
        """
        for _ in range(_MOST_SESSIONS):
            pool = self._pool(person)
            if isinstance(pool, AwaitLogin):
                return pool
            try:
                return pool.read(work)
            except OmeroSessionEnded:
                self._drop(person, pool)
            except OmeroUnreachable:
                # Where it was let go of under who waited for a connection, that says nothing of the server.
                if self._closed or self._holds(person, pool):
                    raise
        raise OmeroSessionEnded(
            f"Each session of {person.user} at OMERO {self._address} is over as soon as it is used.",
            hint="Look at the server's settings of session time-outs.",
        )

    def close(self) -> None:
        """Let go of every connection; the sessions stay."""
        with self._lock:
            self._closed = True
            lent, self._lent = list(self._lent.values()), OrderedDict()
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        for one in lent:
            one.pool.close()

    def _pool(self, person: Person) -> ConnectionPool | AwaitLogin:
        with self._asking.of(person):
            # Before it is asked: what is taken back meanwhile is acted in no longer than that either.
            now_s = self._clock()
            with self._lock:
                held = self._lent.get(person)
                if held is not None:
                    self._lent.move_to_end(person)
                    if now_s - held.since_s < self._lent_s:
                        return held.pool
            key: SessionKey | AwaitLogin | None = None
            try:
                key = self._lend(person)
            finally:
                # Also where nobody can say whether it still may be acted in.
                if held is not None and key != held.key:
                    self._drop(person, held.pool)
            return key if isinstance(key, AwaitLogin) else self._keep(person, key, now_s)

    def _keep(self, person: Person, key: SessionKey, now_s: float) -> ConnectionPool:
        """The connections in a session that was lent just now: those that are there, where it was lent before."""
        oldest = None
        with self._lock:
            if (held := self._lent.get(person)) is not None:
                held.since_s = now_s
                return held.pool
            pool = ConnectionPool(
                partial(connected_as, person, self._address, key, self._open), n_connections=self._n_connections
            )
            self._lent[person] = _Lent(key, pool, now_s)
            if len(self._lent) > MOST_PEOPLE:
                oldest = self._lent.popitem(last=False)[1]
            self._look_later()
        if oldest is not None:
            oldest.pool.close()
        return pool

    def _look_later(self) -> None:
        """See to it that what nobody asks for again is let go of, with the lock held."""
        if self._timer is not None or not self._lent or self._closed:
            return
        until_s = min(one.since_s for one in self._lent.values()) + self._let_go_s
        self._timer = threading.Timer(until_s - self._clock(), self._let_go)
        self._timer.daemon = True
        self._timer.start()

    def _let_go(self) -> None:
        before_s = self._clock() - self._let_go_s
        with self._lock:
            self._timer = None
            old = [(person, one) for person, one in self._lent.items() if one.since_s <= before_s]
            for person, _ in old:
                del self._lent[person]
            self._look_later()
        for _, one in old:
            one.pool.close()

    def _holds(self, person: Person, pool: ConnectionPool) -> bool:
        with self._lock:
            held = self._lent.get(person)
        return held is not None and held.pool is pool

    def _drop(self, person: Person, pool: ConnectionPool) -> None:
        with self._lock:
            if (held := self._lent.get(person)) is not None and held.pool is pool:
                del self._lent[person]
        pool.close()
