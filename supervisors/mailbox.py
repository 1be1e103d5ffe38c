"""What waits for an actor, and what happens when too much does (pure).

Three policies: ``reject`` refuses what does not fit, and says when to come again; ``wait`` lets senders
who can wait stand in a line of the same length until there is room, and refuses the others; ``latest``
keeps the newest message of each key, which suits pixels only, and counts what was superseded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
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

TAKEN, REJECTED, WAITING, SUPERSEDED = Offer.TAKEN, Offer.REJECTED, Offer.WAITING, Offer.SUPERSEDED


def _everybody(letter: object) -> bool:
    return True


class Mailbox(Generic[L]):
    """A bounded queue of letters in the order they came."""

    __slots__ = (
        "_keyed",
        "_let_in",
        "_letters",
        "_max_bytes",
        "_max_messages",
        "_waiting",
        "_waiting_bytes",
        "_when_full",
        "n_bytes",
        "n_refused",
        "n_superseded",
    )

    def __init__(self, limits: MailboxLimits, let_in: Callable[[L], bool] = _everybody) -> None:
        """Be empty; ``let_in`` is told of each letter that has waited, and says whether it still wants to."""
        self._max_messages = limits.max_messages
        self._max_bytes = limits.max_bytes
        self._when_full = limits.when_full
        self._let_in = let_in
        self._letters: deque[tuple[L, int, Hashable]] = deque()
        self._waiting: deque[tuple[L, int]] = deque()
        self._waiting_bytes = 0
        self._keyed: dict[Hashable, tuple[L, int]] = {}
        self.n_bytes = 0
        self.n_refused = 0
        self.n_superseded = 0

    def __len__(self) -> int:
        return len(self._letters) + len(self._waiting)

    def offer(self, letter: L, n_bytes: int, key: Hashable = None, *, may_wait: bool = False) -> Offer:
        """Put a letter in, as the policy allows; ``key`` says what it supersedes under ``latest``."""
        if key is not None:
            if self._when_full is not WhenFull.LATEST:
                key = None
            elif key in self._keyed:
                self.n_bytes += n_bytes - self._keyed[key][1]
                self._keyed[key] = (letter, n_bytes)
                self.n_superseded += 1
                return SUPERSEDED
        letters = self._letters
        total = self.n_bytes + n_bytes
        # One message alone always fits: a limit below its size would refuse it for ever.
        if (total <= self._max_bytes and len(letters) < self._max_messages and not self._waiting) or not letters:
            if key is not None:
                self._keyed[key] = (letter, n_bytes)
            letters.append((letter, n_bytes, key))
            self.n_bytes = total
            return TAKEN
        if may_wait and self._when_full is WhenFull.WAIT and self._has_place(n_bytes):
            self._waiting.append((letter, n_bytes))
            self._waiting_bytes += n_bytes
            return WAITING
        self.n_refused += 1
        return REJECTED

    def put(self, letter: L, n_bytes: int) -> bool:
        """Put a letter that supersedes nothing where there is room; ``offer`` decides where this is False."""
        letters = self._letters
        total = self.n_bytes + n_bytes
        if total <= self._max_bytes and len(letters) < self._max_messages and not self._waiting:
            letters.append((letter, n_bytes, None))
            self.n_bytes = total
            return True
        return False

    def force(self, letter: L, n_bytes: int) -> None:
        """Put a letter in, whatever the limits say."""
        self._letters.append((letter, n_bytes, None))
        self.n_bytes += n_bytes

    def take(self) -> L | None:
        """The oldest letter, or None; a sender who waited is let in behind it."""
        if not self._letters:
            return None
        letter, n_bytes, key = self._letters.popleft()
        if key is not None:
            letter, n_bytes = self._keyed.pop(key)
        self.n_bytes -= n_bytes
        if self._waiting:
            self._let_some_in()
        return letter

    def letters(self) -> list[L]:
        """Everything that waits, oldest first."""
        queued = [self._keyed[key][0] if key is not None else letter for letter, _, key in self._letters]
        return queued + [letter for letter, _ in self._waiting]

    def _let_some_in(self) -> None:
        letters, waiting = self._letters, self._waiting
        while waiting:
            letter, n_bytes = waiting[0]
            if letters and (len(letters) >= self._max_messages or self.n_bytes + n_bytes > self._max_bytes):
                return
            waiting.popleft()
            self._waiting_bytes -= n_bytes
            if self._let_in(letter):
                letters.append((letter, n_bytes, None))
                self.n_bytes += n_bytes

    def _has_place(self, n_bytes: int) -> bool:
        waiting = self._waiting
        return not waiting or (len(waiting) < self._max_messages and self._waiting_bytes + n_bytes <= self._max_bytes)
