"""A reference to an actor of another host, by the name that it has in the mesh."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Container
from typing import Any, TypeVar

from ...transport import ASK_TIMEOUT_S, ActorUnknown, Event, PeerRef, Ref, Request
from .joined_nodes import JoinedNodes

R = TypeVar("R")


class RemoteRef:
    """An actor of a joined host, looked up at every message: the link of one day is not that of the next.

    Unlike an executor, which a partition only delays, it is asked once: a break is the answer.
    """

    __slots__ = ("_nodes", "_own", "_own_names", "name")

    def __init__(self, name: str, nodes: JoinedNodes, own: Ref, own_names: Container[str]) -> None:
        """Look ``name`` up in ``nodes``; ``own`` is asked where this node has an actor of that name itself."""
        self.name = name
        self._nodes = nodes
        self._own = own
        self._own_names = own_names

    def ask(self, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> Awaitable[R]:
        """Send a request; the awaitable is its answer."""
        try:
            return self._now().ask(request, timeout_s=timeout_s)
        except ActorUnknown as away:
            return _failed(away)

    def tell(self, event: Event) -> None:
        """Send an event and go on.

        Raises:
            ActorUnknown: its host is away, or has never joined.
        """
        self._now().tell(event)

    def send(self, event: Event, *, timeout_s: float = ASK_TIMEOUT_S) -> Awaitable[None]:
        """Send an event; the awaitable ends once the actor's mailbox has taken it."""
        try:
            return self._now().send(event, timeout_s=timeout_s)
        except ActorUnknown as away:
            return _failed(away)

    def _now(self) -> Ref:
        place = self._nodes.place(self.name)
        if place is None or self.name in self._own_names:
            return self._own
        link = place.node.link
        if link is None or link.gone:
            raise place.node.away()
        return PeerRef(link, place.name)


def _failed(error: Exception) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future
