"""In whose name the mesh acts at OMERO: for each person the session that may be used now, and its connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar, assert_never

from .address import OmeroAddress, Person, SessionKey
from .connection import Connection, close_quietly
from .errors import (
    OmeroBusy,
    OmeroLoginRefused,
    OmeroMinterUnfit,
    OmeroNotPermitted,
    OmeroSecretUnusable,
    OmeroSessionEnded,
)
from .held_sessions import HeldSessions, Source, close_pools
from .joining import OpenConnection, connected_as
from .minted import Mints, ending_minted, open_minted
from .pool import ConnectionPool
from .whose_session import (
    AwaitLogin,
    Choice,
    LoggedIn,
    Mint,
    Minted,
    MintedEnded,
    Minting,
    MintRefused,
    OwnEnded,
    UseMinted,
    UseOwn,
    after,
    choose,
)

T = TypeVar("T")
# Own session, minted session, and each of them found to be over once.
_MOST_CHOICES = 5
# So long one who asks waits for the session that another has asked for, and the mesh's end for sessions to be ended.
_PATIENCE_S = 30.0
_LEAVE_S = 5.0


class Keeps(Protocol):
    """Sees to it that sessions do not end by being idle."""

    def keep(self, key: SessionKey) -> None:
        """Keep a session alive from now on."""

    def leave(self, key: SessionKey) -> None:
        """Let a session end when it does."""


class Identities:
    """Hands out connections in a person's name: never in another's, and never in an administrator's."""

    def __init__(
        self,
        address: OmeroAddress,
        *,
        minter: Mints | None = None,
        keeper: Keeps | None = None,
        n_connections: int = 4,
        open_connection: OpenConnection = Connection,
        patience_s: float = _PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Act at one server; without a minter only in the sessions that people hand in.

        Who asks while a session is being opened for the same person waits for it for ``patience_s``.
        """
        self._address = address
        self._minter = minter
        self._keeper = keeper
        self._n_connections = n_connections
        self._open = open_connection
        self._patience_s = patience_s
        self._clock = clock
        self._people: dict[Person, HeldSessions] = {}
        self._registering = threading.Lock()

    def logged_in(self, person: Person, key: SessionKey) -> None:
        """Take over a person's own session, once it is seen to be theirs.

        Raises:
            OmeroOtherUser: it belongs to somebody else.
            OmeroSessionEnded: it is over already.
            OmeroError: the server cannot be asked.
        """
        close_quietly(self._opened(person, key))
        sessions = self._sessions(person)
        with sessions.choose():
            self._wake(sessions)
            self._hold(person, sessions, "own", key)
            sessions.standing = after(sessions.standing, LoggedIn())

    def pool(self, person: Person) -> ConnectionPool | AwaitLogin:
        """The connections to act with in a person's name, or why nobody can before the next login.

        Raises:
            OmeroBusy: another has asked for a session to be minted, which takes too long.
            OmeroError: a session would have to be minted, and the server cannot be asked.
        """
        sessions = self._sessions(person)
        while True:
            with sessions.choose():
                self._wake(sessions)
                chosen = self._chosen(sessions)
            if chosen is not None:
                return chosen
            self._mint(person, sessions)

    def taken_back(self, person: Person) -> bool:
        """Begin nothing more in a person's own session; whether there was one, which stays the person's."""
        sessions = self._sessions(person)
        with sessions.choose():
            had = "own" in sessions.pools
            self._drop(sessions, "own")
        return had

    def rest_unused(self, for_s: float) -> None:
        """Let the sessions end of people in whose name nothing was done for so long."""
        before_s = self._clock() - for_s
        for person, sessions in list(self._people.items()):
            if sessions.pools and not sessions.resting and sessions.used_at_s <= before_s:
                self.rest(person)

    def rest(self, person: Person) -> None:
        """Let a person's sessions end when they do: nothing is done in their name, until it is asked for again."""
        sessions = self._sessions(person)
        with sessions.choosing:
            sessions.resting = True
            held = list(sessions.pools.values())
            for key, _ in held:
                if self._keeper is not None:
                    self._keeper.leave(key)
        for _, pool in held:
            pool.close_idle()

    def read(self, person: Person, work: Callable[[Connection], T]) -> T | AwaitLogin:
        """Do what changes nothing in a person's name, in the next session where one turns out to be over.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        for _ in range(_MOST_CHOICES):
            pool = self.pool(person)
            if isinstance(pool, AwaitLogin):
                return pool
            try:
                return pool.read(work)
            except OmeroSessionEnded:
                self.found_ended(person, pool)
        raise OmeroSessionEnded(
            f"Each session of {person.user} at OMERO {self._address} is over as soon as it is used.",
            hint="Look at the server's settings of session time-outs.",
        )

    def session_of(self, person: Person) -> SessionKey | AwaitLogin:
        """The key of a session of this person that the server has just said is alive; for a process of the mesh alone.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """

        def seen_alive(connection: Connection) -> SessionKey:
            connection.event_context()
            return connection.key

        return self.read(person, seen_alive)

    def found_ended(self, person: Person, pool: ConnectionPool) -> bool:
        """Hear that a call found the session of a pool over; whether it lives all the same, and is used on.

        A client whose connection was replaced on the way is told the same as one whose session is over.

        Raises:
            OmeroError: the server cannot be asked.
        """
        sessions = self._sessions(person)
        with sessions.choosing:
            if all(held is not pool for _, held in sessions.pools.values()):
                # Somebody else has found out before, or it was taken back.
                return False
        try:
            # On another connection, as those that lay idle went with the one that broke.
            pool.read(Connection.event_context)
        except OmeroSessionEnded:
            self._drop_where(sessions, lambda _, held: held is pool)
            return False
        return True

    def key_ended(self, key: SessionKey) -> None:
        """Take note that a session is over, as who keeps it alive has found."""
        for sessions in list(self._people.values()):
            self._drop_where(sessions, lambda held, _: held == key)

    def close_idle(self) -> None:
        """Close the connections that nobody has needed for a while."""
        for sessions in list(self._people.values()):
            for _, pool in list(sessions.pools.values()):
                pool.close_idle()

    def close(self) -> None:
        """Let go of every connection, and end what was minted; people's own sessions stay theirs."""
        minted: list[SessionKey] = []
        # All of them at once: each may wait for a server that does not answer.
        dropped: list[ConnectionPool] = []
        for sessions in list(self._people.values()):
            with sessions.choosing:
                minted += [key for source, (key, _) in sessions.pools.items() if source == "minted"]
                for source in list(sessions.pools):
                    self._drop(sessions, source)
                dropped += sessions.take_dropped()
        close_pools(dropped)
        if minted:
            # A server that does not answer is not waited for: what is not ended ends when it was idle for long enough.
            ending_minted(minted, self._address, self._open).join(_LEAVE_S)

    def _sessions(self, person: Person) -> HeldSessions:
        with self._registering:
            return self._people.setdefault(person, HeldSessions())

    def _chosen(self, sessions: HeldSessions) -> ConnectionPool | AwaitLogin | None:
        """What to act with, or None where a session has to be minted."""
        match choice := self._choice(sessions):
            case UseOwn(end_minted=leave_minted):
                if leave_minted:
                    superseded, _ = sessions.pools["minted"]
                    self._drop(sessions, "minted")
                    ending_minted([superseded], self._address, self._open)
                return sessions.pools["own"][1]
            case UseMinted():
                return sessions.pools["minted"][1]
            case Mint():
                return None
            case AwaitLogin():
                return choice
            case _:
                assert_never(choice)

    def _choice(self, sessions: HeldSessions) -> Choice:
        minting = Minting.SET if self._minter is not None else Minting.NOT_SET
        return choose(sessions.standing, minting, now_s=self._clock())

    def _mint(self, person: Person, sessions: HeldSessions) -> None:
        """Open a session for a person, unless another has done it meanwhile."""
        assert self._minter is not None
        if not sessions.minting.acquire(timeout=self._patience_s):
            raise OmeroBusy(
                f"A session for {person.user} at OMERO {self._address} is being opened for longer than "
                f"{self._patience_s:g} s.",
                hint="It is tried again after a while; look whether the server is slow.",
            )
        try:
            with sessions.choosing:
                if not isinstance(self._choice(sessions), Mint):
                    return
            try:
                key = open_minted(person, self._minter, self._address, self._open)
            except (OmeroNotPermitted, OmeroMinterUnfit, OmeroLoginRefused, OmeroSecretUnusable) as refusal:
                refused = MintRefused(f"no session could be opened for {person.user}: {refusal}", self._clock())
                with sessions.choosing:
                    sessions.standing = after(sessions.standing, refused)
                return
            with sessions.choose():
                self._hold(person, sessions, "minted", key)
                sessions.standing = after(sessions.standing, Minted())
        finally:
            sessions.minting.release()

    def _hold(self, person: Person, sessions: HeldSessions, source: Source, key: SessionKey) -> None:
        self._drop(sessions, source)
        pool = ConnectionPool(lambda: self._opened(person, key), n_connections=self._n_connections, clock=self._clock)
        sessions.pools[source] = (key, pool)
        if self._keeper is not None:
            self._keeper.keep(key)

    def _wake(self, sessions: HeldSessions) -> None:
        sessions.used_at_s = self._clock()
        if sessions.resting and self._keeper is not None:
            for key, _ in sessions.pools.values():
                self._keeper.keep(key)
        sessions.resting = False

    def _drop_where(self, sessions: HeldSessions, is_over: Callable[[SessionKey, ConnectionPool], bool]) -> None:
        with sessions.choose():
            for source, (key, pool) in list(sessions.pools.items()):
                if is_over(key, pool):
                    self._drop(sessions, source)

    def _drop(self, sessions: HeldSessions, source: Source) -> None:
        key, pool = sessions.pools.pop(source, (None, None))
        if pool is not None and key is not None:
            sessions.dropped.append(pool)
            if self._keeper is not None:
                self._keeper.leave(key)
        sessions.standing = after(sessions.standing, OwnEnded() if source == "own" else MintedEnded())

    def _opened(self, person: Person, key: SessionKey) -> Connection:
        return connected_as(person, self._address, key, self._open)
