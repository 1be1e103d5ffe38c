"""Under which keys connections are made over which nothing is ever heard (pure).

Whoever dials as this mesh's own programs do says something at once, over each connection. Who does not, and sends all
the same, does it under a routing id that is taken: see ``newcomers``. Of such a one libzmq does not tell the key. But
each handshake under a key is known, and so is the first message over each connection: what is left is whose it is.
"""

from __future__ import annotations

from collections import deque

LOOKS = 50
"""So many looks long a handshake is remembered behind which nothing was heard, and suspicion lasts."""
PATIENCE_LOOKS = 5
"""So many looks may pass before something is heard; what has arrived is read between any two."""
MOST_UNHEARD = 2
"""Handshakes of one key behind which nothing was heard: one may be of somebody who went away in the middle of it."""


class Unheard:
    """Remembers, by key, the handshakes behind which nothing was heard."""

    def __init__(self) -> None:
        self._n_looks = 0
        self._suspicious_until = -1
        self._waiting: dict[str, deque[int]] = {}

    def add(self, key: str) -> None:
        """A handshake under this key has been answered."""
        self._waiting.setdefault(key, deque()).append(self._n_looks)

    def heard(self, key: str) -> None:
        """The first message over a connection of this key was heard."""
        waiting = self._waiting.get(key)
        if waiting:
            waiting.popleft()
            if not waiting:
                del self._waiting[key]

    def suspect(self) -> None:
        """Connections over which nothing was heard have taken too much memory: somebody makes them."""
        self._suspicious_until = self._n_looks + LOOKS

    def look(self) -> list[str]:
        """The keys that make such connections; none while nobody is suspected."""
        self._n_looks = now = self._n_looks + 1
        for key, waiting in list(self._waiting.items()):
            while waiting and now - waiting[0] > LOOKS:
                waiting.popleft()
            if not waiting:
                del self._waiting[key]
        if now > self._suspicious_until:
            return []
        guilty = [key for key, waiting in self._waiting.items() if _n_overdue(waiting, now) >= MOST_UNHEARD]
        for key in guilty:
            del self._waiting[key]
        return guilty


def _n_overdue(waiting: deque[int], now: int) -> int:
    return sum(now - since > PATIENCE_LOOKS for since in waiting)
