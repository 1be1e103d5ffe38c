"""The connections of one session: a few at most, opened when they are needed, replaced when they break."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from .connection import Connection, close_quietly, refuse_on_a_loop
from .errors import BROKEN, OmeroBusy, OmeroError, OmeroNotAnswering, OmeroSessionEnded, OmeroUnreachable

T = TypeVar("T")


class PoolStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool holds, and what has happened to it."""

    n_idle: int
    n_in_use: int
    n_waiting: int
    n_opened: int
    n_broken: int


class ConnectionPool:
    """Lends connections to threads, each to one at a time."""

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        *,
        n_connections: int = 4,
        patience_s: float = 30.0,
        idle_s: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open with ``open_connection``; who finds all in use waits for ``patience_s``."""
        self._open = open_connection
        self._n_connections = n_connections
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._clock = clock
        self._changed = threading.Condition()
        self._idle: list[tuple[Connection, float]] = []
        self._generation = 0
        self._n_in_use = self._n_waiting = self._n_opened = self._n_broken = 0
        self._closed = False

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do what changes nothing; where the connection has gone stale meanwhile, once more on a new one.

        Raises:
            OmeroError: the second try failed as well, or the server refuses.
        """
        refuse_on_a_loop()
        generation = self._generation
        try:
            with self.connection() as connection:
                return work(connection)
        except (OmeroUnreachable, OmeroSessionEnded):
            if self._closed or generation == self._generation:
                # Nothing had gone stale: there is no way to open one.
                raise
        with self.connection() as connection:
            return work(connection)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection; what breaks it in the block takes it out of the pool.

        Where the server is gone or the session is over, the idle ones go with it; where it was slow, they stay.

        Raises:
            OmeroBusy: all stay in use for ``patience_s``.
            OmeroUnreachable: the pool is closed.
            OmeroError: none can be opened, or what the block raises.
        """
        refuse_on_a_loop()
        connection = self._take()
        try:
            yield connection
        except BROKEN as error:
            self._give_up(connection, error)
            raise
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    def apart(self) -> Connection:
        """Open a connection of the session that is not the pool's, for work that lasts; the caller closes it.

        Raises:
            OmeroError: none can be opened.
        """
        refuse_on_a_loop()
        return self._open()

    def close_idle(self) -> int:
        """Close the connections that nobody has needed for a while, as any use of the pool does; say how many."""
        before_s = self._clock() - self._idle_s
        with self._changed:
            old = [connection for connection, since_s in self._idle if since_s <= before_s]
            self._idle = [one for one in self._idle if one[1] > before_s]
        for connection in old:
            close_quietly(connection)
        return len(old)

    def statistics(self) -> PoolStatistics:
        """What the pool holds now."""
        with self._changed:
            return PoolStatistics(
                n_idle=len(self._idle),
                n_in_use=self._n_in_use,
                n_waiting=self._n_waiting,
                n_opened=self._n_opened,
                n_broken=self._n_broken,
            )

    def close(self) -> None:
        """Close what is idle, and what is in use as soon as it comes back."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for connection, _ in idle:
            close_quietly(connection)

    def _take(self) -> Connection:
        with self._changed:
            self._n_waiting += 1
            try:
                free = self._changed.wait_for(
                    lambda: self._closed or self._idle or self._n_in_use < self._n_connections, self._patience_s
                )
            finally:
                self._n_waiting -= 1
            if self._closed:
                raise OmeroUnreachable("The connections to OMERO are closed.", hint="The mesh is stopping: start it.")
            if not free:
                raise OmeroBusy(
                    f"All {self._n_connections} connections of this session to OMERO were in use for "
                    f"{self._patience_s:g} s.",
                    hint="It is tried again after a while; or raise omero.connections_per_session.",
                )
            self._n_in_use += 1
            if self._idle:
                # The one used last: the others grow old enough to be closed.
                return self._idle.pop()[0]
        return self._opened()

    def _opened(self) -> Connection:
        try:
            connection = self._open()
        except BaseException:
            with self._changed:
                self._n_in_use -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._n_opened += 1
        return connection

    def _give_back(self, connection: Connection) -> None:
        with self._changed:
            self._n_in_use -= 1
            keep = not self._closed
            if keep:
                self._idle.append((connection, self._clock()))
            self._changed.notify()
        if not keep:
            close_quietly(connection)
        self.close_idle()

    def _give_up(self, connection: Connection, error: OmeroError) -> None:
        stale = [connection]
        with self._changed:
            self._n_in_use -= 1
            self._n_broken += 1
            if not isinstance(error, OmeroNotAnswering):
                self._generation += 1
                stale += [one for one, _ in self._idle]
                self._idle = []
            self._changed.notify_all()
        # Each may wait for a server that does not answer.
        threading.Thread(target=_close_all, args=(stale,), name="omero-closing", daemon=True).start()


def _close_all(connections: list[Connection]) -> None:
    for connection in connections:
        close_quietly(connection)
