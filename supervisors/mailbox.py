"""What waits for an actor, and what happens when too much does (pure).

Three policies: ``reject`` refuses what does not fit, and says when to come again; ``wait`` lets senders
within the mesh who can wait stand in a line of the same length until there is room, and refuses the others;
``latest`` keeps the newest message of each key, which suits pixels only, and counts what was superseded.

Whatever the policy, one who is outside has no more in it than is still free for all who are outside. Those who say too
much by turns, or to an actor that reads, come to equal parts and leave one more free: one has half, two a third each.
Where one comes after the other and nothing is read, each takes half of what was left, until one fills the last place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Generic, Protocol, TypeVar

import msgspec

from .shares import Shares


class WhenFull(Enum):
    """What a mailbox does with a message for which there is no room."""

    REJECT = "reject"
    WAIT = "wait"
    LATEST = "latest"


class MailboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much may wait for an actor, by count and by bytes; and as much again be deferred by it.

    Within the mesh a message counts for its nominal bytes, from outside for no less than it came with.
    """

    max_messages: int = 10_000
    max_bytes: int = 64 << 20
    when_full: WhenFull = WhenFull.REJECT
    max_deferred: int = 10_000
    """Messages whose work it has deferred: nine tenths of it for those that only wait, a quarter for any one key, three
    quarters for all of them."""


KEPT_FOR_MESH = 4
"""One place in so many of a mailbox is the mesh's own: however much outsiders say, its events and asks have room."""


class Offer(Enum):
    """What became of a message that was offered."""

    TAKEN = "taken"
    REJECTED = "rejected"
    OVER_SHARE = "over share"
    WAITING = "waiting"
    SUPERSEDED = "superseded"


class Weighed(Protocol):
    """What a mailbox can hold: it says itself for how many bytes it counts."""

    n_bytes: int


L = TypeVar("L", bound=Weighed)

TAKEN, REJECTED, WAITING, SUPERSEDED = Offer.TAKEN, Offer.REJECTED, Offer.WAITING, Offer.SUPERSEDED
OVER_SHARE = Offer.OVER_SHARE


def _everybody(letter: object) -> bool:
    return True


class Mailbox(Generic[L]):
    """A bounded queue of letters in the order they came.

    It is ``plain`` while nobody waits for room, nothing supersedes anything and nothing in it is an outsider's. A
    letter for which there is room is then appended to ``queued``, and taken from its front, with ``n_bytes`` kept in
    step. Who does so for every message of an actor does it in place: two calls more are a tenth of all that a message
    costs. What outsiders say is counted, and costs that.
    """

    __slots__ = (
        "_keyed",
        "_keys",
        "_let_in",
        "_said_by",
        "_waiting",
        "_waiting_bytes",
        "_when_full",
        "held",
        "max_bytes",
        "max_bytes_outside",
        "max_messages",
        "max_messages_outside",
        "n_bytes",
        "n_refused",
        "n_superseded",
        "plain",
        "queued",
    )

    def __init__(self, limits: MailboxLimits, let_in: Callable[[L], bool] = _everybody) -> None:
        """Be empty; ``let_in`` is told of each letter that has waited, and says whether it still wants to."""
        self.max_messages = limits.max_messages
        self.max_bytes = limits.max_bytes
        self.max_messages_outside = limits.max_messages - limits.max_messages // KEPT_FOR_MESH
        self.max_bytes_outside = limits.max_bytes - limits.max_bytes // KEPT_FOR_MESH
        self.queued: deque[L] = deque()
        self.plain = limits.when_full is not WhenFull.LATEST
        self._when_full = limits.when_full
        self._let_in = let_in
        self._waiting: deque[L] = deque()
        self._waiting_bytes = 0
        # What is handed out for a key, and the key of the letter that keeps its place in the queue.
        self._keyed: dict[Hashable, L] = {}
        self._keys: dict[int, Hashable] = {}
        # Whose the letters of outsiders are.
        self._said_by: dict[int, str] = {}
        self.held = Shares()
        self.n_bytes = 0
        self.n_refused = 0
        self.n_superseded = 0

    def __len__(self) -> int:
        return len(self.queued) + len(self._waiting)

    def offer(self, letter: L, key: Hashable = None, *, may_wait: bool = False, from_outside: str = "") -> Offer:
        """Put a letter in, as the policy allows; ``key`` says what it supersedes under ``latest``.

        What somebody of this name says ``from_outside`` leaves room for the mesh and for others outside, and does not
        wait for any: the line would take it past what is kept for the mesh, and be no place for the mesh any more.
        """
        queued, n_bytes = self.queued, letter.n_bytes
        if self._when_full is not WhenFull.LATEST:
            key = None
        elif key is not None and key in self._keyed:
            before = self._keyed[key]
            self._forget(before)
            self.n_bytes += n_bytes - before.n_bytes
            self._keyed[key] = letter
            self._note(letter, from_outside)
            self.n_superseded += 1
            return SUPERSEDED
        # One message alone always fits: a limit below its size would refuse it for ever.
        if from_outside and queued and (refused := self._refused(from_outside, n_bytes)) is not None:
            self.n_refused += 1
            return refused
        total = self.n_bytes + n_bytes
        if (total <= self.max_bytes and len(queued) < self.max_messages and not self._waiting) or not queued:
            if key is not None:
                self._keyed[key] = letter
                self._keys[id(letter)] = key
            queued.append(letter)
            self.n_bytes = total
            self._note(letter, from_outside)
            return TAKEN
        if may_wait and not from_outside and self._when_full is WhenFull.WAIT and self._has_place(n_bytes):
            self._waiting.append(letter)
            self._waiting_bytes += n_bytes
            self.plain = False
            return WAITING
        self.n_refused += 1
        return REJECTED

    def force(self, letter: L) -> None:
        """Put a letter in, whatever the limits say."""
        self.queued.append(letter)
        self.n_bytes += letter.n_bytes

    def take(self) -> L | None:
        """The oldest letter, or None; a sender who waited is let in behind it."""
        if not self.queued:
            return None
        letter = self.queued.popleft()
        if self._keys:
            key = self._keys.pop(id(letter), None)
            if key is not None:
                letter = self._keyed.pop(key)
        self.n_bytes -= letter.n_bytes
        if self._said_by:
            self._forget(letter)
        if self._waiting:
            self._let_some_in()
        return letter

    def letters(self) -> list[L]:
        """Everything that waits, oldest first."""
        keys = self._keys
        return [self._keyed[keys[id(one)]] if id(one) in keys else one for one in self.queued] + list(self._waiting)

    def _let_some_in(self) -> None:
        queued, waiting = self.queued, self._waiting
        while waiting:
            letter = waiting[0]
            if queued and (len(queued) >= self.max_messages or self.n_bytes + letter.n_bytes > self.max_bytes):
                return
            waiting.popleft()
            self._waiting_bytes -= letter.n_bytes
            if self._let_in(letter):
                queued.append(letter)
                self.n_bytes += letter.n_bytes
        self.plain = not self._said_by

    def _has_place(self, n_bytes: int) -> bool:
        waiting = self._waiting
        return not waiting or (len(waiting) < self.max_messages and self._waiting_bytes + n_bytes <= self.max_bytes)

    def _refused(self, outsider: str, n_bytes: int) -> Offer | None:
        """Why there is no room for what somebody outside says; None where there is."""
        free_messages = self.max_messages_outside - len(self.queued)
        free_bytes = self.max_bytes_outside - self.n_bytes
        if free_messages < 1 or n_bytes > free_bytes:
            return REJECTED
        if self.held.has_room(outsider, n_bytes, max_messages=free_messages, max_bytes=free_bytes):
            return None
        return OVER_SHARE

    def _note(self, letter: L, outsider: str) -> None:
        if outsider:
            self._said_by[id(letter)] = outsider
            self.held.add(outsider, letter.n_bytes)
            self.plain = False

    def _forget(self, letter: L) -> None:
        outsider = self._said_by.pop(id(letter), "")
        if outsider:
            self.held.remove(outsider, letter.n_bytes)
            if not self._said_by:
                self.plain = not self._waiting and self._when_full is not WhenFull.LATEST
