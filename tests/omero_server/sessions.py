"""The sessions that are alive: opened, joined, idle too long, ended."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from omero_server.graph import Graph, Row


class NoSession(LookupError):
    """No session with that uuid is alive."""


class TimedOut(NoSession):
    """The session was idle for longer than it may be, or has lived its time."""


class BadTimeouts(ValueError):
    """A user asked for a session that never ends, on a server where all do."""


@dataclass(eq=False)
class Session:
    """One session: who works in it, in what group, and what it has open."""

    uuid: str
    row: Row
    user: Row
    group: Row
    idle_s: float
    lifetime_s: float
    started_s: float
    touched_s: float
    sudoer: Row | None = None
    n_references: int = 1
    """Who made it counts as well as who joined."""
    open: dict[Any, Any] = field(default_factory=dict)
    """The servants that only this session reaches, by Ice identity."""
    proxies: dict[str, Any] = field(default_factory=dict)
    """The services that were handed out once and are the same ever after."""

    def is_over(self, now_s: float) -> bool:
        return bool(
            (self.idle_s and now_s - self.touched_s > self.idle_s)
            or (self.lifetime_s and now_s - self.started_s > self.lifetime_s)
        )


class Sessions:
    """Live sessions by uuid; what they leave behind is a row in the graph."""

    def __init__(
        self,
        graph: Graph,
        *,
        idle_s: float,
        lifetime_s: float,
        most_s: float,
        now_s: Callable[[], float],
        now_ms: Callable[[], int],
        ended: Callable[[Session], None],
    ) -> None:
        self.idle_s = idle_s
        self._lifetime_s = lifetime_s
        self._most_s = most_s
        self._graph = graph
        self._now_s = now_s
        self._now_ms = now_ms
        self._ended = ended
        self._alive: dict[str, Session] = {}
        self._lock = threading.RLock()

    def open(
        self,
        user: Row,
        group: Row,
        *,
        idle_s: float | None = None,
        lifetime_s: float | None = None,
        sudoer: Row | None = None,
        agent: str | None = None,
    ) -> Session:
        """A new session of a user, which ends after so long idle, or so long at all; 0 is never."""
        idle_s = self.idle_s if idle_s is None else idle_s
        lifetime_s = self._lifetime_s if lifetime_s is None else lifetime_s
        name = str(uuid.uuid4())
        with self._graph.changing():
            row = self._graph.add(
                "Session",
                uuid=name,
                owner=user,
                sudoer=sudoer,
                started=self._now_ms(),
                timeToIdle=int(idle_s * 1000),
                timeToLive=int(lifetime_s * 1000),
                userAgent=agent,
                defaultEventType="User",
            )
        now_s = self._now_s()
        session = Session(name, row, user, group, idle_s, lifetime_s, now_s, now_s, sudoer)
        with self._lock:
            self._alive[name] = session
        return session

    def touch(self, name: str) -> Session:
        """The session, which from now on has not been idle.

        Raises:
            NoSession: there is none, or none any more.
            TimedOut: it has been idle too long; nobody has cleaned up yet.
        """
        session = self.look(name)
        session.touched_s = self._now_s()
        return session

    def look(self, name: str) -> Session:
        """The session, which stays as idle as it was.

        Raises:
            NoSession: there is none, or none any more.
            TimedOut: it has been idle too long.
        """
        session = self._alive.get(name)
        if session is None:
            raise NoSession(f"No session with uuid:{name}")
        if session.is_over(self._now_s()):
            raise TimedOut(f"Session (started={session.row['started']}, uuid={name}) timed out.")
        return session

    def end(self, session: Session) -> None:
        """Nobody works in it any more, and what it has open closes."""
        with self._lock:
            if self._alive.pop(session.uuid, None) is None:
                return
        with self._graph.changing():
            self._graph.put(session.row, "closed", self._now_ms())
        self._ended(session)

    def most(self, idle_s: float, lifetime_s: float) -> tuple[float, float]:
        """What a user gets who asks for such time-outs.

        Raises:
            BadTimeouts: none at all was asked for, where there is one.
        """
        granted = min(idle_s, self._most_s), 0.0 if self._lifetime_s == 0 else min(lifetime_s, self._lifetime_s)
        for what, asked_s, default_s in (("Idle", granted[0], self.idle_s), ("Live", granted[1], self._lifetime_s)):
            if asked_s == 0 and default_s != 0:
                raise BadTimeouts(f"Cannot disable timeTo{what}. Value must be between 1 and {self._most_s * 1000:g}")
        return granted

    def leave(self, session: Session, *, closes: bool = True) -> int:
        """One client less, of which the last one ends the session if it closes it; how many are left."""
        session.n_references -= 1
        if session.n_references < 1 and closes:
            self.end(session)
        return session.n_references

    def reap(self) -> None:
        """End all that have been idle too long."""
        for session in list(self._alive.values()):
            if session.is_over(self._now_s()):
                self.end(session)

    def expire(self, name: str | None, user: str | None, *, reaped: bool) -> int:
        """As if these sessions had been idle too long, and, if reaped, the server had seen it. How many they are."""
        expired = [
            one
            for one in list(self._alive.values())
            if (name is None or one.uuid == name) and (user is None or one.user["omeName"] == user)
        ]
        for one in expired:
            one.idle_s, one.touched_s = one.idle_s or 1.0, float("-inf")
            if reaped:
                self.end(one)
        return len(expired)

    def of(self, user: Row) -> list[Session]:
        return [one for one in list(self._alive.values()) if one.user is user]

    def described(self) -> list[dict[str, Any]]:
        """For the control: who is here."""
        return [
            {
                "uuid": one.uuid,
                "user": one.user["omeName"],
                "group": one.group["name"],
                "idle_s": self._now_s() - one.touched_s,
                "sudoer": one.sudoer["omeName"] if one.sudoer else None,
            }
            for one in list(self._alive.values())
        ]
