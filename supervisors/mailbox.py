"""What waits for an actor, and what happens when too much does (pure).

Three policies: ``reject`` refuses what does not fit, and says when to come again; ``wait`` takes it
and lets the sender wait until there is room; ``latest`` keeps the newest message of each key, which
suits pixels only, and counts what was superseded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from enum import Enum
from typing import Generic, TypeVar

import msgspec


class WhenFull(Enum):
    """What a mailbox does with a message for which there is no room."""

    REJECT = "reject"
    WAIT = "wait"
    LATEST = "latest"


class MailboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much may wait for an actor, by count and by nominal bytes."""

    max_messages: int = 10_000
    max_bytes: int = 64 << 20
    when_full: WhenFull = WhenFull.REJECT


class Offer(Enum):
    """What became of a message that was offered."""

    TAKEN = "taken"
    REJECTED = "rejected"
    WAITING = "waiting"
    SUPERSEDED = "superseded"


L = TypeVar("L")


class Mailbox(Generic[L]):
    """A bounded queue of letters in the order they came."""

    __slots__ = ("_keyed", "_letters", "_limits", "_waiting", "n_bytes", "n_offered", "n_refused", "n_superseded")

    def __init__(self, limits: MailboxLimits) -> None:
        self._limits = limits
        self._letters: deque[tuple[L, int, Hashable]] = deque()
        self._waiting: deque[tuple[L, int]] = deque()
        self._keyed: dict[Hashable, L] = {}
        self.n_bytes = 0
        self.n_offered = 0
        self.n_refused = 0
        self.n_superseded = 0

    def __len__(self) -> int:
        return len(self._letters) + len(self._waiting)

    def offer(self, letter: L, n_bytes: int, key: Hashable = None) -> Offer:
        """Put a letter in, as the policy allows; ``key`` says what it supersedes under ``latest``."""
        self.n_offered += 1
        limits = self._limits
        if limits.when_full is WhenFull.LATEST and key is not None:
            if key in self._keyed:
                self._keyed[key] = letter
                self.n_superseded += 1
                return Offer.SUPERSEDED
            if self._fits(n_bytes):
                self._keyed[key] = letter
                self._put(letter, n_bytes, key)
                return Offer.TAKEN
        elif self._fits(n_bytes) and not self._waiting:
            self._put(letter, n_bytes, None)
            return Offer.TAKEN
        elif limits.when_full is WhenFull.WAIT:
            self._waiting.append((letter, n_bytes))
            return Offer.WAITING
        self.n_refused += 1
        return Offer.REJECTED

    def take(self) -> L | None:
        """The oldest letter, or None; a sender who waited is let in behind it."""
        if not self._letters:
            return None
        letter, n_bytes, key = self._letters.popleft()
        self.n_bytes -= n_bytes
        if key is not None:
            letter = self._keyed.pop(key)
        while self._waiting and self._fits(self._waiting[0][1]):
            waiting, waiting_bytes = self._waiting.popleft()
            self._put(waiting, waiting_bytes, None)
        return letter

    def letters(self) -> list[L]:
        """Everything that waits, oldest first."""
        queued = [self._keyed[key] if key is not None else letter for letter, _, key in self._letters]
        return queued + [letter for letter, _ in self._waiting]

    def _fits(self, n_bytes: int) -> bool:
        # One message alone always fits: a limit below its size would refuse it for ever.
        if not self._letters:
            return True
        return len(self._letters) < self._limits.max_messages and self.n_bytes + n_bytes <= self._limits.max_bytes

    def _put(self, letter: L, n_bytes: int, key: Hashable) -> None:
        self._letters.append((letter, n_bytes, key))
        self.n_bytes += n_bytes
