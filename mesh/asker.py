"""Whoever can ask the actors of a mesh, and asks again while it is away."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .config import MeshError
from .transport import ASK_TIMEOUT_S, AskTimedOut, MailboxFull, PeerGone, Request

R = TypeVar("R")

PATIENCE_S = 120.0
"""How long a follower waits for a mesh that went away to come back."""


class Asker(ABC):
    """A way to a mesh, through a socket or inside this process."""

    @abstractmethod
    async def ask(self, actor: str, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> R:
        """Ask an actor of the mesh.

        Raises:
            AskFailed: the actor's answer is a failure; its text and hint are for the user.
            AskTimedOut, PeerGone, KeyRefused, NotPermitted: there is no answer.
        """

    async def _patiently(self, ask: Callable[[float], Awaitable[R]], patience_s: float, *, ask_s: float = 20.0) -> R:
        """Ask again while the mesh is away or full; every request that is sent this way may be repeated."""
        until = time.monotonic() + patience_s
        while True:
            try:
                return await ask(ask_s)
            except (PeerGone, AskTimedOut) as error:
                if time.monotonic() >= until:
                    raise _unanswered(error, patience_s) from error
                # Deliberate: the other side is starting, and says nothing while it does.
                again_s = 0.2
            except MailboxFull as error:
                # It is there: others wait at it, and make room as they go.
                until, again_s = time.monotonic() + patience_s, error.retry_after_s
            await asyncio.sleep(again_s)


def _unanswered(error: PeerGone | AskTimedOut, patience_s: float) -> MeshError:
    """What is told of a mesh that is away; where time alone was over it may be there, and one of its actors paused."""
    if isinstance(error, PeerGone):
        return MeshError(
            f"the mesh has not answered for {patience_s:g} s: {error}",
            hint="hcs-mesh up takes the work up again; nothing that was accepted is lost",
        )
    return MeshError(
        f"no answer for {patience_s:g} s: {error}",
        hint="hcs-mesh ps shows whether the mesh is up, and who in it is paused or has much waiting; "
        "nothing that was accepted is lost",
    )
