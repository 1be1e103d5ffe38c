"""Turns at work: no more than a few imports at a time, the urgent before the others, else in order (pure)."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from ...messages.imports import ImportPriority

RANKS: dict[ImportPriority, int] = {"high": 0, "normal": 1, "low": 2}


class Turns:
    """Hands out a number of places; who comes without one waits for it, and is called when it is his."""

    def __init__(self, n_places: int) -> None:
        """Have ``n_places`` at work at a time."""
        self._n_free = n_places
        self._waiting: list[tuple[int, int, Callable[[], bool]]] = []
        self._gone: set[int] = set()
        self._last = 0

    @property
    def n_waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting) - len(self._gone)

    def ask(self, priority: ImportPriority, call: Callable[[], bool]) -> int:
        """Ask for a place; returns the ticket.

        ``call`` is called when the place is there, at once if one is free, and says whether it is still wanted.
        """
        self._last += 1
        if self._n_free:
            self._n_free -= 1
            call()
        else:
            heapq.heappush(self._waiting, (RANKS[priority], self._last, call))
        return self._last

    def leave(self, ticket: int) -> None:
        """Wait no more; only for a ticket that was not called."""
        self._gone.add(ticket)

    def give_back(self) -> None:
        """Let go of a place: the next one who waits has it."""
        while self._waiting:
            _, ticket, call = heapq.heappop(self._waiting)
            if ticket in self._gone:
                self._gone.discard(ticket)
                continue
            # In a loop and not by calls in calls: ten thousand may go at once.
            if call():
                return
        self._n_free += 1
