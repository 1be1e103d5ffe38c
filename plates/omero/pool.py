"""The connections of one session: a few at most, opened when they are needed, replaced when they break."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from .apart import Apart, AtRest
from .connection import Connection, close_quietly, refuse_on_a_loop
from .errors import (
    BROKEN,
    OmeroBusy,
    OmeroError,
    OmeroNotAnswering,
    OmeroPlacesTaken,
    OmeroSessionEnded,
    OmeroTooLarge,
    OmeroUnreachable,
)

T = TypeVar("T")
_LEAVE_S = 5.0
"""So long who has to close connections waits for that; a server that does not answer is told by threads of its own."""


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
        self._at_rest = AtRest()
        self._generation = 0
        self._n_in_use = self._n_waiting = self._n_opened = self._n_broken = self._n_lasting = 0
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

        Where the server is gone or the session is over, the idle ones go with it; where it was slow, or an answer too
        large, they stay.

        Raises:
            OmeroBusy: all stay in use for ``patience_s``.
            OmeroUnreachable: the pool is closed.
            OmeroError: none can be opened, or what the block raises.
        """
        refuse_on_a_loop()
        connection = self._take()
        try:
            yield connection
        except (*BROKEN, OmeroTooLarge) as error:
            self._give_up(connection, error)
            raise
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    def apart(self, *, lasting: bool = False) -> Apart:
        """Open a connection that the caller keeps, and closes.

        For what is ``lasting`` there is a place less than the pool has, if it has several: one is always left for all
        that is soon over. Who finds those taken does not wait here, with whatever it holds elsewhere. What is at rest
        gives way; see ``rest``.

        Raises:
            OmeroPlacesTaken: other lasting work has the places, or all stay in use for ``patience_s``.
            OmeroError: none can be opened.
        """
        refuse_on_a_loop()
        spares: list[Connection] = []
        with self._changed:
            if lasting and self._n_lasting >= self._most_lasting:
                if not (resting := self._giving_way(lasting=True)):
                    raise self._places_taken()
                resting[0].leave()
                spares.append(resting[0].connection)
            self._n_lasting += lasting
            try:
                spares += self._wait_for_place()
            except BaseException as error:
                self._n_lasting -= lasting
                if isinstance(error, OmeroBusy):
                    raise OmeroPlacesTaken(str(error), hint=error.hint) from None
                raise
            # Closed, and not kept: work that lasts begins on a connection that is known to stand.
            spares += [self._idle.pop(0)[0]] if self._idle else []
        _close_all(spares)
        try:
            return Apart(self._opened(), self._left, lasting=lasting)
        except BaseException:
            with self._changed:
                self._n_lasting -= lasting
            raise

    def rest(self, apart: Apart, *, after_s: float = 0.0) -> None:
        """Let what is lasting have the place of a connection ``after_s``, unless it is taken up before.

        At 0 nobody goes on with it: all may have its place then, and have it before any other.
        """
        with self._changed:
            if apart.stands:
                self._at_rest.lay(apart, after_s=after_s, now_s=self._clock())
                self._changed.notify_all()

    def take_up(self, apart: Apart) -> bool:
        """Whether a connection still has its place, which nobody else gets from now on."""
        with self._changed:
            self._at_rest.take_up(apart)
            return apart.stands

    def lasting_taken(self) -> str:
        """Why no lasting work can be begun now; empty where it can."""
        with self._changed:
            is_full = self._n_lasting >= self._most_lasting and not self._giving_way(lasting=True)
            return str(self._places_taken()) if is_full else ""

    def close_idle(self) -> int:
        """Close the connections that nobody has needed for a while, as any use of the pool does; say how many."""
        before_s = self._clock() - self._idle_s
        with self._changed:
            old = [connection for connection, since_s in self._idle if since_s <= before_s]
            self._idle = [one for one in self._idle if one[1] > before_s]
        _close_all(old)
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
        """Close what is idle, and what is in use as soon as it comes back; a frozen server is left after a while."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        _close_all([connection for connection, _ in idle])

    @property
    def _most_lasting(self) -> int:
        return max(1, self._n_connections - 1)

    def _giving_way(self, *, lasting: bool) -> list[Apart]:
        return self._at_rest.giving_way(lasting=lasting, now_s=self._clock())

    def _left(self, apart: Apart) -> None:
        with self._changed:
            self._at_rest.take_up(apart)
            self._n_in_use -= 1
            self._n_lasting -= apart.lasting
            self._changed.notify()

    def _places_taken(self) -> OmeroPlacesTaken:
        return OmeroPlacesTaken(
            f"{self._n_lasting} of the {self._n_connections} connections that this session may have to OMERO are with "
            "other imports, and the rest is left for all else.",
            hint="It goes on by itself once one has ended; or raise omero.connections_per_session.",
        )

    def _wait_for_place(self) -> list[Connection]:
        """Take a place as soon as there is one, with the lock held; what lay in it is to be closed."""

        def is_free() -> bool:
            return bool(self._idle) or self._n_in_use < self._n_connections

        self._n_waiting += 1
        try:
            free = self._changed.wait_for(
                lambda: self._closed or is_free() or self._giving_way(lasting=False), self._patience_s
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
        resting = [] if is_free() else self._giving_way(lasting=False)[:1]
        for one in resting:
            one.leave()
        self._n_in_use += 1
        return [one.connection for one in resting]

    def _take(self) -> Connection:
        with self._changed:
            spares = self._wait_for_place()
            if self._idle:
                # The one used last: the others grow old enough to be closed.
                return self._idle.pop()[0]
        _close_all(spares)
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
            if not isinstance(error, OmeroNotAnswering | OmeroTooLarge):
                self._generation += 1
                stale += [one for one, _ in self._idle]
                self._idle = []
            self._changed.notify_all()
        _close_all(stale, wait_s=0.0)


def _close_all(connections: list[Connection], *, wait_s: float | None = None) -> None:
    """Close connections, none after another: each may wait for a server that does not answer."""
    closing = []
    for one in connections:
        thread = threading.Thread(target=close_quietly, args=(one,), name="omero-closing", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No more threads can be had: by this one, then.
            close_quietly(one)
        else:
            closing.append(thread)
    until_s = time.monotonic() + (_LEAVE_S if wait_s is None else wait_s)
    for thread in closing:
        thread.join(max(0.0, until_s - time.monotonic()))
