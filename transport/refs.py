"""A reference to an actor: the same two calls whether it lives in this process or in another."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from .messages import Event, Request

R = TypeVar("R")

ASK_TIMEOUT_S = 30.0


class Ref(Protocol):
    """Where messages for one actor go."""

    @property
    def name(self) -> str:
        """The actor's name on its node."""
        ...

    def ask(self, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> Awaitable[R]:
        """Send a request now; the awaitable is its answer.

        Raises (from the awaitable):
            AskTimedOut: no answer within ``timeout_s``.
            AskFailed: the actor answered with a failure.
            MailboxFull, PeerGone, ActorUnknown, BadMessage: it never reached the actor.
        """
        ...

    def tell(self, event: Event) -> None:
        """Send an event and go on.

        Raises:
            MailboxFull: an actor of this process has no room. Another process only counts and logs it.
        """
        ...

    def send(self, event: Event, *, timeout_s: float = ASK_TIMEOUT_S) -> Awaitable[None]:
        """Send an event; the awaitable ends once the actor's mailbox has taken it, which is the backpressure.

        Raises (from the awaitable):
            MailboxFull: there is no room, and the actor's policy lets nobody wait.
            AskTimedOut: there was none within ``timeout_s``; the event is not let in any more.
        """
        ...
