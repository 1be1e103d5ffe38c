"""A connection that stays with who has opened it, in one of the places of its pool."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from .connection import Connection, close_quietly


class Apart:
    """A connection of its keeper's alone, until it is closed or, while it is at rest, its place goes to others."""

    def __init__(self, connection: Connection, leave: Callable[[Apart], None], *, lasting: bool) -> None:
        """Stand in a place that ``leave`` gives back."""
        self.connection = connection
        self.lasting = lasting
        self._leave: Callable[[Apart], None] | None = leave
        self._leaving = threading.Lock()

    @property
    def stands(self) -> bool:
        """Whether it has its place."""
        return self._leave is not None

    def leave(self) -> None:
        """Give the place to others; of no more use is the connection then, which may take its time to be closed."""
        with self._leaving:
            leave, self._leave = self._leave, None
        if leave is not None:
            leave(self)

    def close(self) -> None:
        """Close the connection, and give its place to others."""
        close_quietly(self.connection)
        self.leave()


class AtRest:
    """The connections that nobody uses just now, and from when on others may have their places."""

    def __init__(self) -> None:
        self._since: dict[Apart, tuple[float, float]] = {}

    def lay(self, apart: Apart, *, after_s: float, now_s: float) -> None:
        """Lay one down: after so long others may have its place."""
        self._since[apart] = (after_s, now_s + after_s)

    def take_up(self, apart: Apart) -> None:
        """Leave one to its keeper again."""
        self._since.pop(apart, None)

    def giving_way(self, *, lasting: bool, now_s: float) -> list[Apart]:
        """Which give way to what is ``lasting``, or to what is soon over, the first of them first.

        What nobody waits for gives way before what is gone on with some time, and to all; the other only to its like,
        since what is soon over leaves a place again soon.
        """
        order: Iterable[tuple[tuple[float, float], Apart]] = (
            (since, apart)
            for apart, since in self._since.items()
            if since[1] <= now_s and (apart.lasting or not lasting) and (lasting or since[0] <= 0.0)
        )
        return [apart for _, apart in sorted(order, key=lambda one: one[0])]
