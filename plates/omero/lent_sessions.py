"""People's sessions in a process that holds none: each is asked for when it is needed, joined, and left as it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .address import OmeroAddress, Person, SessionKey
from .connection import Connection
from .errors import OmeroSessionEnded
from .identities import OpenConnection, connected_as
from .pool import ConnectionPool
from .turns import Turns
from .whose_session import AwaitLogin

T = TypeVar("T")
MOST_PEOPLE = 16
"""Whose connections a process keeps; those of who was asked for longest ago are closed first."""
# One that ended meanwhile, and one that ends just when it was lent.
_MOST_SESSIONS = 3


class LentSessions:
    """Reads as the person who asks, by connections of this process; a key is in memory and nowhere else."""

    def __init__(
        self,
        address: OmeroAddress,
        lend: Callable[[Person], SessionKey | AwaitLogin],
        *,
        n_connections: int = 4,
        open_connection: OpenConnection = Connection,
    ) -> None:
        """``lend`` answers with a session that is alive, also where the one that it lent before is over."""
        self._address = address
        self._lend = lend
        self._n_connections = n_connections
        self._open = open_connection
        self._lock = threading.Lock()
        self._asking = Turns()
        self._pools: OrderedDict[Person, ConnectionPool] = OrderedDict()

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
        raise OmeroSessionEnded(
            f"Each session of {person.user} at OMERO {self._address} is over as soon as it is used.",
            hint="Look at the server's settings of session time-outs.",
        )

    def close(self) -> None:
        """Let go of every connection; the sessions stay."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), OrderedDict()
        for pool in pools:
            pool.close()

    def _pool(self, person: Person) -> ConnectionPool | AwaitLogin:
        with self._asking.of(person):
            with self._lock:
                others = [pool for whose, pool in self._pools.items() if whose != person]
                if person in self._pools:
                    self._pools.move_to_end(person)
            for pool in others:
                pool.close_idle()
            if (held := self._pools.get(person)) is not None:
                return held
            key = self._lend(person)
            if isinstance(key, AwaitLogin):
                return key
            pool = ConnectionPool(
                partial(connected_as, person, self._address, key, self._open), n_connections=self._n_connections
            )
            with self._lock:
                self._pools[person] = pool
                oldest = self._pools.popitem(last=False)[1] if len(self._pools) > MOST_PEOPLE else None
            if oldest is not None:
                oldest.close()
            return pool

    def _drop(self, person: Person, pool: ConnectionPool) -> None:
        with self._lock:
            if self._pools.get(person) is pool:
                del self._pools[person]
        pool.close()
