"""In whose name the mesh acts at OMERO: for each person the session that may be used now, and its connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol, TypeVar, assert_never

from .address import Credential, OmeroAddress, Person, SessionKey
from .connection import Connection, close_quietly, end_quietly
from .errors import (
    OmeroLoginRefused,
    OmeroMinterUnfit,
    OmeroNotPermitted,
    OmeroOtherUser,
    OmeroSecretUnusable,
    OmeroSessionEnded,
)
from .pool import ConnectionPool
from .whose_session import (
    AwaitLogin,
    LoggedIn,
    Mint,
    Minted,
    MintedEnded,
    Minting,
    MintRefused,
    OwnEnded,
    Standing,
    UseMinted,
    UseOwn,
    after,
    choose,
)

T = TypeVar("T")
OpenConnection = Callable[[OmeroAddress, Credential], Connection]
Source = Literal["own", "minted"]
# Own session, minted session, and each of them found to be over once.
_MOST_CHOICES = 5


class Mints(Protocol):
    """Opens a session for somebody who is away."""

    def mint(self, person: Person) -> SessionKey:
        """Return the key of a new session of this person."""


class Keeps(Protocol):
    """Sees to it that sessions do not end by being idle."""

    def keep(self, key: SessionKey) -> None:
        """Keep a session alive from now on."""

    def leave(self, key: SessionKey) -> None:
        """Let a session end when it does."""


class _Sessions:
    """What is held of one person."""

    def __init__(self) -> None:
        self.standing = Standing()
        self.pools: dict[Source, tuple[SessionKey, ConnectionPool]] = {}
        self.resting = False
        self.used_at_s = 0.0
        self.choosing = threading.Lock()


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Act at one server; without a minter only in the sessions that people hand in."""
        self._address = address
        self._minter = minter
        self._keeper = keeper
        self._n_connections = n_connections
        self._open = open_connection
        self._clock = clock
        self._people: dict[Person, _Sessions] = {}
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
        with sessions.choosing:
            self._wake(sessions)
            self._hold(person, sessions, "own", key)
            sessions.standing = after(sessions.standing, LoggedIn())

    def pool(self, person: Person) -> ConnectionPool | AwaitLogin:
        """The connections to act with in a person's name, or why nobody can before the next login.

        Raises:
            OmeroError: a session would have to be minted, and the server cannot be asked.
        """
        sessions = self._sessions(person)
        with sessions.choosing:
            self._wake(sessions)
            return self._chosen(person, sessions)

    def taken_back(self, person: Person) -> bool:
        """Begin nothing more in a person's own session; whether there was one, which stays the person's."""
        sessions = self._sessions(person)
        with sessions.choosing:
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
            for key, pool in sessions.pools.values():
                pool.close_idle()
                if self._keeper is not None:
                    self._keeper.leave(key)

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
                self.ended(person, pool)
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

    def ended(self, person: Person, pool: ConnectionPool) -> None:
        """Take note that the session of a pool is over; the next one is chosen when it is asked for."""
        sessions = self._sessions(person)
        with sessions.choosing:
            for source, (_, held) in list(sessions.pools.items()):
                if held is pool:
                    self._drop(sessions, source)

    def key_ended(self, key: SessionKey) -> None:
        """Take note that a session is over, as who keeps it alive has found."""
        for sessions in list(self._people.values()):
            with sessions.choosing:
                for source, (held, _) in list(sessions.pools.items()):
                    if held == key:
                        self._drop(sessions, source)

    def close_idle(self) -> None:
        """Close the connections that nobody has needed for a while."""
        for sessions in list(self._people.values()):
            for _, pool in list(sessions.pools.values()):
                pool.close_idle()

    def close(self) -> None:
        """Let go of every connection; the sessions stay until they were idle for long enough."""
        for sessions in list(self._people.values()):
            with sessions.choosing:
                for source in list(sessions.pools):
                    self._drop(sessions, source)

    def _sessions(self, person: Person) -> _Sessions:
        with self._registering:
            return self._people.setdefault(person, _Sessions())

    def _chosen(self, person: Person, sessions: _Sessions) -> ConnectionPool | AwaitLogin:
        minting = Minting.SET if self._minter is not None else Minting.NOT_SET
        while True:
            match choice := choose(sessions.standing, minting, now_s=self._clock()):
                case UseOwn(end_minted=end_minted):
                    if end_minted:
                        self._drop(sessions, "minted")
                    return sessions.pools["own"][1]
                case UseMinted():
                    return sessions.pools["minted"][1]
                case Mint():
                    self._mint(person, sessions)
                case AwaitLogin():
                    return choice
                case _:
                    assert_never(choice)

    def _mint(self, person: Person, sessions: _Sessions) -> None:
        assert self._minter is not None
        try:
            key = self._minter.mint(person)
            self._refuse_administrators(person, key)
        except (OmeroNotPermitted, OmeroMinterUnfit, OmeroLoginRefused, OmeroSecretUnusable) as refusal:
            refused = MintRefused(f"no session could be opened for {person.user}: {refusal}", self._clock())
            sessions.standing = after(sessions.standing, refused)
            return
        self._hold(person, sessions, "minted", key)
        sessions.standing = after(sessions.standing, Minted())

    def _refuse_administrators(self, person: Person, key: SessionKey) -> None:
        """Give back a session that may do more than a person's own work.

        Raises:
            OmeroNotPermitted: it is an administrator's.
        """
        connection = self._opened(person, key)
        try:
            is_administrator = bool(connection.event_context().isAdmin)
        except BaseException:
            close_quietly(connection)
            raise
        if is_administrator:
            end_quietly(connection)
            raise OmeroNotPermitted(
                f"{person.user} is an administrator of OMERO {self._address}, in whose name nobody else may act.",
                hint="Log in, or have the work done under a name of less rights.",
            )
        close_quietly(connection)

    def _hold(self, person: Person, sessions: _Sessions, source: Source, key: SessionKey) -> None:
        self._drop(sessions, source)
        pool = ConnectionPool(lambda: self._opened(person, key), n_connections=self._n_connections)
        sessions.pools[source] = (key, pool)
        if self._keeper is not None:
            self._keeper.keep(key)

    def _wake(self, sessions: _Sessions) -> None:
        sessions.used_at_s = self._clock()
        if sessions.resting and self._keeper is not None:
            for key, _ in sessions.pools.values():
                self._keeper.keep(key)
        sessions.resting = False

    def _drop(self, sessions: _Sessions, source: Source) -> None:
        key, pool = sessions.pools.pop(source, (None, None))
        if pool is not None and key is not None:
            pool.close()
            if self._keeper is not None:
                self._keeper.leave(key)
        sessions.standing = after(sessions.standing, OwnEnded() if source == "own" else MintedEnded())

    def _opened(self, person: Person, key: SessionKey) -> Connection:
        return connected_as(person, self._address, key, self._open)


def connected_as(
    person: Person, address: OmeroAddress, key: SessionKey, open_connection: OpenConnection = Connection
) -> Connection:
    """A connection in a session, once the server has said that it is this person's.

    Raises:
        OmeroOtherUser: it is another's.
        OmeroError: the session is over, or the server cannot be reached.
    """
    connection = open_connection(address, key)
    try:
        user = str(connection.event_context().userName)
        if user != person.user:
            raise OmeroOtherUser(
                f"The session that was handed in for {person.user} at OMERO {address} is another person's.",
                hint="Log in under your own name.",
            )
    except BaseException:
        close_quietly(connection)
        raise
    return connection
