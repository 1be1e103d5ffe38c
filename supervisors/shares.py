"""How much of what an actor has deferred is one key's: however much it asks for, there is room for the others."""

from __future__ import annotations

from ..transport.messages import INNER
from .letters import Letter
from .mailbox import MailboxLimits

SHARES = 4
"""Of what an actor may defer, one in so many may be one key's; what the mesh hands over itself has no share."""


class _Held:
    __slots__ = ("n_bytes", "n_letters")

    def __init__(self) -> None:
        self.n_letters = 0
        self.n_bytes = 0


class Shares:
    """Counts by the name of whoever asked, of those only of whom something is deferred."""

    def __init__(self, limits: MailboxLimits) -> None:
        """Let one key have its share of ``limits``."""
        self._max_letters = max(1, limits.max_deferred // SHARES)
        self._max_bytes = limits.max_bytes // SHARES
        self._held: dict[str, _Held] = {}

    def is_full(self, letter: Letter) -> bool:
        """Whether its sender has had its share."""
        held = self._held.get(letter.principal.name)
        if held is None:
            # As in a mailbox, one message alone always fits.
            return False
        return held.n_letters >= self._max_letters or held.n_bytes + letter.n_bytes > self._max_bytes

    def add(self, letter: Letter) -> None:
        """It is deferred."""
        if letter.principal is INNER:
            return
        held = self._held.setdefault(letter.principal.name, _Held())
        held.n_letters += 1
        held.n_bytes += letter.n_bytes

    def remove(self, letter: Letter) -> None:
        """It is over."""
        held = self._held.get(letter.principal.name)
        if held is None:
            return
        held.n_letters -= 1
        held.n_bytes -= letter.n_bytes
        if not held.n_letters:
            del self._held[letter.principal.name]
