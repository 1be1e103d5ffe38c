"""The door that every call passes: it counts, and does what a test has asked for."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

EXCEPTIONS = frozenset({
    "InternalException", "ResourceError", "ServerError", "ConcurrencyException", "DatabaseBusyException",
    "OptimisticLockException", "SecurityViolation", "ValidationException", "ApiUsageException",
    "SessionTimeoutException", "RemovedSessionException", "UnknownLocalException", "ObjectNotExist", "not asked",
    "drop",
})  # fmt: skip


class Asked(Exception):
    """The call fails with the exception of that name because a test wants it to."""


@dataclass
class Fault:
    """What happens to the calls of one operation."""

    seconds: float = 0.0
    exception: str = ""
    kills: bool = False
    passes: int = 0
    """So many calls are left alone first."""
    times: int | None = None
    after: bool = False
    """Once the call is done and kept: its answer gets lost."""

    def takes(self) -> bool:
        """Whether it is this call's turn."""
        if self.passes:
            self.passes -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


@dataclass
class Seen:
    """What one person did."""

    calls: Counter[str] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    """How often each was sent to the person, whole planes or parts of them."""
    most_connections: int = 0
    """At once."""


class Door:
    """Counts every call by operation and by person, and holds up, fails or kills at the ones that were named."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.queries: Counter[str] = Counter()
        self.people: defaultdict[str, Seen] = defaultdict(Seen)
        self._faults: dict[str, list[Fault]] = {}
        self._held: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._changed = threading.Condition()

    def enter(self, operation: str, user: str = "") -> None:
        """Before the call does anything; ``user`` is empty before there is a session.

        Raises:
            Asked: a test wants it to fail.
        """
        with self._changed:
            self.counts[operation] += 1
            if user:
                self.people[user].calls[operation] += 1
            self._waiting[operation] += 1
            self._changed.wait_for(lambda: operation not in self._held)
            self._waiting[operation] -= 1
        self._meet(operation, after=False)

    def leave(self, operation: str) -> None:
        """Once the call is done and kept.

        Raises:
            Asked: a test wants its answer to get lost.
        """
        self._meet(operation, after=True)

    def moved(self, operation: str, n_bytes: int) -> None:
        """So many bytes of pixels or of a file went through the call."""
        with self._changed:
            self.bytes[operation] += n_bytes

    def shown(self, user: str, pixels_id: int) -> None:
        """A person was sent pixels."""
        with self._changed:
            self.people[user].pixels[pixels_id] += 1

    def connected(self, user: str, n_connections: int) -> None:
        """A person has so many connections now."""
        with self._changed:
            seen = self.people[user]
            seen.most_connections = max(seen.most_connections, n_connections)

    def asked(self, query: str) -> None:
        """A query was evaluated."""
        with self._changed:
            self.queries[" ".join(query.split())] += 1

    def people_seen(self) -> dict[str, dict[str, object]]:
        """What each person did since the counts were last forgotten."""
        with self._changed:
            return {
                user: {
                    "calls": dict(seen.calls),
                    "pixels": dict(seen.pixels),
                    "most_connections": seen.most_connections,
                }
                for user, seen in self.people.items()
            }

    def set(self, operation: str, fault: Fault) -> None:
        with self._changed:
            self._faults.setdefault(operation, []).append(fault)

    def hold(self, operation: str) -> None:
        """Calls of this operation wait from now on."""
        with self._changed:
            self._held.add(operation)

    def release(self, operation: str) -> None:
        """Those that wait go on, and nobody waits any more."""
        with self._changed:
            self._held.discard(operation)
            self._changed.notify_all()

    def held(self) -> dict[str, int]:
        """How many calls wait where."""
        with self._changed:
            return {operation: self._waiting[operation] for operation in self._held}

    def forget_counts(self) -> None:
        with self._changed:
            for counter in (self.counts, self.bytes, self.queries, self.people):
                counter.clear()

    def forget_faults(self) -> None:
        with self._changed:
            self._faults.clear()
            self._held.clear()
            self._changed.notify_all()

    def _meet(self, operation: str, *, after: bool) -> None:
        with self._changed:
            faults = [one for one in self._faults.get(operation, []) if one.after == after and one.takes()]
        for fault in faults:
            if fault.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(fault.seconds)
            if fault.exception:
                raise Asked(fault.exception)
