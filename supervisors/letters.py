"""What lies in a mailbox: a message, who wants its answer, and who is speaking."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from ..config.errors import MeshError
from ..transport.errors import AskTimedOut, BadMessage, MailboxFull
from ..transport.failures import exception_of, failure_of
from ..transport.link import Link
from ..transport.messages import INNER, NOMINAL_BYTES, Message, Principal
from .traces import Hop

RETRY_DEFERRED_S = 1.0
"""Deferred work takes longer than a message does, so that who is refused for it comes back later."""


class Answer(Protocol):
    """Where an answer goes: a future in this process, or a link to another."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Answer.

        Raises:
            BadMessage: this answer cannot travel; nothing was answered yet.
        """
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """Answer with a failure."""
        ...


class RemoteAnswer:
    """The answer to an ask that came over a link."""

    __slots__ = ("_answered", "_id", "_link", "_where")

    def __init__(self, link: Link, id: int, where: str) -> None:  # noqa: A002
        self._link = link
        self._id = id
        self._where = where
        self._answered = False

    def done(self) -> bool:
        """Whether it was answered, or the peer is gone."""
        return self._answered or bool(self._link.gone)

    def set_result(self, result: Any, /) -> None:
        """Send the answer, unless one has been sent."""
        if self._answered:
            return
        self._link.reply(self._id, result)
        self._answered = True

    def set_exception(self, error: BaseException, /) -> None:
        """Send the failure."""
        self._link.fail(self._id, failure_of(error, where=self._where))
        self._answered = True


class Letter(msgspec.Struct):
    """A message in a mailbox; an event with an ``answer`` was sent by somebody who waits for its admission.

    ``n_bytes`` is what it counts for there: whoever posts it has set it where the message says so itself. From outside
    it counts for no less than it came with.
    """

    message: Message
    answer: Answer | None = None
    deadline: float = 0.0
    principal: Principal = INNER
    caller: Link | None = None
    n_bytes: int = NOMINAL_BYTES


class TracedLetter(Letter):
    """A letter that somebody follows: ``trace`` is the id of what it belongs to, and the sender's name."""

    trace: str = ""
    hop: Hop | None = None


def letter_of(
    message: Message,
    answer: Answer | None,
    deadline: float,
    principal: Principal = INNER,
    caller: Link | None = None,
    *,
    trace: str,
    n_bytes: int = NOMINAL_BYTES,
) -> Letter:
    """A letter that is followed if there is a trace; the ordinary one stays as small as it was."""
    if trace:
        return TracedLetter(message, answer, deadline, principal, caller, n_bytes, trace=trace)
    return Letter(message, answer, deadline, principal, caller, n_bytes)


def weight_of(letter: Letter) -> int:
    """What a letter counts for whose message says so itself."""
    n_bytes = letter.message.nominal_bytes
    return n_bytes if letter.principal is INNER else max(n_bytes, letter.n_bytes)


def outsider_of(letter: Letter) -> str:
    """The name of who has said it; empty if that is the mesh itself, here or on a host that has joined."""
    return "" if letter.principal.role == "node" else letter.principal.name


def portable(error: BaseException, where: str) -> MeshError:
    """The same exception on the asker's side, whether the asker is in this process or in another."""
    return exception_of(failure_of(error, where=where))


def wrong_answer(who: str, message: Message, result: Any) -> TypeError:
    """The fault of an actor whose answer is not of the type that was asked for."""
    return TypeError(f"{who} answered {type(message).__name__} with {type(result).__name__}")


def too_late(who: str, message: Message, n_waiting: int) -> AskTimedOut:
    """The answer to an ask whose time is over."""
    return AskTimedOut(
        f"{type(message).__name__} to {who}: no answer in time ({n_waiting} messages are waiting)",
        hint="hcs-mesh ps shows whether the actor is up and how much it has waiting",
    )


def not_taken(who: str, message: Message, *, asked_only: bool) -> BadMessage:
    """The answer to a message that is not in an actor's inbox, or that is told and wants to be asked."""
    return BadMessage(f"{who} takes no {type(message).__name__}" + (" that is told: ask it" if asked_only else ""))


def too_busy(who: str, n_deferred: int, n_bytes: int) -> MailboxFull:
    """The answer to a message whose work would be deferred, when there is enough of that."""
    return MailboxFull(
        f"{who} has deferred {n_deferred} messages ({n_bytes} bytes) and takes no more of this kind",
        hint="ask again in a second; hcs-mesh inspect shows how many it has deferred",
        retry_after_s=RETRY_DEFERRED_S,
    )


def too_many_of_one(who: str, asker: str) -> MailboxFull:
    """The answer to a message whose work would be deferred, when its sender has its share of that."""
    return MailboxFull(
        f"{who} has deferred as many messages of {asker} as one key may have, and takes no more of this kind from it",
        hint="ask again in a second, and wait for fewer things at once",
        retry_after_s=RETRY_DEFERRED_S,
    )


def too_full(who: str, n_waiting: int, n_bytes: int) -> MailboxFull:
    """The answer to a message for which there is no room."""
    return MailboxFull(
        f"{who} has {n_waiting} messages ({n_bytes} bytes) waiting and takes no more",
        hint="ask again in a moment; hcs-mesh ps shows the mailboxes",
    )


def too_much_of_one(who: str, asker: str, n_waiting: int, n_bytes: int) -> MailboxFull:
    """The answer to a message of somebody who has as much waiting as there is room left for everybody."""
    return MailboxFull(
        f"{who} has {n_waiting} messages ({n_bytes} bytes) of {asker} waiting, as much as it has room left for "
        "everybody, and takes no more from it",
        hint="wait for the answers to what was asked before asking more, and come again in a moment",
    )
