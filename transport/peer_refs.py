"""A reference to an actor behind a link."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from .link import Link
from .messages import Event, Request
from .refs import ASK_TIMEOUT_S

R = TypeVar("R")


class PeerRef:
    """An actor that lives behind a link."""

    __slots__ = ("_link", "name")

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self.name = name

    def ask(self, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[R]:
        """Send a request to the actor."""
        return self._link.ask(self.name, request, timeout_s=timeout_s)

    def tell(self, event: Event) -> None:
        """Send an event to the actor."""
        self._link.tell(self.name, event)

    def send(self, event: Event, *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[None]:
        """Send an event to the actor, and wait until its mailbox has room."""
        return self._link.send(self.name, event, timeout_s=timeout_s)
