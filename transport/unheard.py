"""Under which keys connections are made over which nothing is ever heard (pure).

Whoever dials as this mesh's own programs do says something at once, over each connection. Who does not, and sends all
the same, does it under a routing id that is taken: see ``newcomers``. Of such a one libzmq does not tell the key. But
each handshake under a key is known, and so is the first message over each connection: what is left is whose it is.
"""

from __future__ import annotations

from collections import deque

LOOK_S = 0.1
"""A node looks so often."""
LOOKS = 300
"""So many looks long suspicion lasts."""
LAPSE_LOOKS = 320
"""So many looks after a handshake its connection has been hung up on, if nothing was heard: see ``newcomers``."""
MOST_OF_KEY = 512
"""Connections of one key over which nothing was heard; a peer of ours makes two at once."""
PATIENCE_LOOKS = 50
"""So many looks may pass before something is heard: a lost packet, or a computer that stood still, takes seconds."""
HELD_OFF = 4
"""While somebody is suspected a key with so many handshakes behind which nothing was heard gets no other one."""
MOST_UNHEARD = 2
"""Handshakes of one key behind which nothing was heard: one may be of somebody who went away in the middle of it."""


class Unheard:
    """Remembers, by key, the handshakes behind which nothing was heard."""

    def __init__(self, most_of_key: int = MOST_OF_KEY) -> None:
        """Let no key have more such connections than these."""
        self._most_of_key = most_of_key
        self._n_looks = 0
        self._suspicious_until = -1
        self._waiting: dict[str, deque[int]] = {}

    def add(self, key: str) -> bool:
        """Whether a handshake under this key may be answered, after which something is to be heard."""
        waiting = self._waiting.setdefault(key, deque())
        if len(waiting) >= (HELD_OFF if self._is_suspicious else self._most_of_key):
            return False
        waiting.append(self._n_looks)
        return True

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

    @property
    def n_looks(self) -> int:
        """How often was looked: the clock of what is counted here."""
        return self._n_looks

    @property
    def _is_suspicious(self) -> bool:
        return self._n_looks <= self._suspicious_until

    def look(self) -> list[str]:
        """The keys that make such connections; none while nobody is suspected."""
        self._n_looks = now = self._n_looks + 1
        for key, waiting in list(self._waiting.items()):
            while waiting and now - waiting[0] > LAPSE_LOOKS:
                waiting.popleft()
            if not waiting:
                del self._waiting[key]
        if not self._is_suspicious:
            return []
        guilty = [key for key, waiting in self._waiting.items() if _n_overdue(waiting, now) >= MOST_UNHEARD]
        for key in guilty:
            del self._waiting[key]
        return guilty


def _n_overdue(waiting: deque[int], now: int) -> int:
    return sum(now - since > PATIENCE_LOOKS for since in waiting)
